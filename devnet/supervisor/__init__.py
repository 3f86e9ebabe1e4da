"""One harness a folder: in the foreground or the background, watching what it started."""
