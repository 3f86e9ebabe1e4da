"""Byzantine operators: the shipped middleware with somebody between it and its links.

names         what a liar may be told to do, and by what its victims notice; nothing of `dst`
liar          what every liar has: the honest operator's words to change, and hands of its own
strategies    the lies, shared with the simulator where they need nothing of its world
middleware    the wrapper: `dst.middleware` as it is, its messages and two answers bent

`python -m devnet.byzantine --config FILE --strategy NAME` stands in for `dst middleware --config
FILE`, on the same configuration, keys and store. A container sees this package and `dst` alone.
"""
