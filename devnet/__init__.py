"""The test bench: a network with one Toxiproxy proxy on every directed link, and what watches it.

`cli` commands; `network` brings up and tears down; `tools` finds anvil and toxiproxy-server;
`model` frozen values; `links` the Toxiproxy client; `backends` processes and containers;
`dashboard` the live board.
"""

VERSION = "0.1.0"
