"""Tools that are not Python: anvil, toxiproxy-server, Node packages; found, or installed by their
pins."""
