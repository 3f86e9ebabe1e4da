"""A program between a link's Toxiproxy and the service behind it, which bends answers: what a proxy
of streams cannot do. It runs in the pod of the service, only while a fault wants it.

main     reads the table that the harness writes, listens for each link, says what was bent
answers  what becomes of a question, link by link: passed on, or bent
rewrite  pure: another L1's blocks, another header

It runs with what a role has (its files are mounted alone), and imports nothing of the harness but
the table's form (`devnet.model.bend`). Nothing imports it.
"""
