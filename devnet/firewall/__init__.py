"""A program that drops packets in the network of a pod, as a dead host or a silent firewall does:
no RST, no FIN, no SYN-ACK. It runs only while a fault wants it, and what it drops passes again once
it has ended, however it ends.

main     drops what its arguments name, and says in a file how much of it
nft      rules of the kernel's packet filter, spoken over netlink

It imports nothing of the harness but names (`devnet.model.firewall`). Nothing imports it.
"""
