"""How programs run: `base` (the capabilities), `process` (plain processes) and `docker` (pods of
containers)."""
