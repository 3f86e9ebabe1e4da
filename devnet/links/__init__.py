"""Links as Toxiproxy proxies: `toxiproxy` is the client of one server, `mesh` all links of a
network."""
