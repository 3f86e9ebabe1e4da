"""What a person looks at while a network runs: the live board, one look, logs, and a network's or
a node's state in few words."""
