"""All that touches the machine, behind small interfaces: log, metrics, kv, files, http, service."""
