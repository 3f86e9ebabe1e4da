"""Seeded bugs: a role of a node as it is shipped, but for one thing. What the checkers must find.

names         what there is, where it sits and which invariant it breaks; nothing of `dst`
answers       of execution layers: methods of their JSON-RPC that answer what they must not
signatures    of an operator that forgets what it has signed: its validator and its middleware

`python -m devnet.bugs --config FILE --bug NAME --role ROLE` stands in for `dst ROLE --config FILE`,
on the same configuration and store. A container sees this package and `dst` alone.
"""
