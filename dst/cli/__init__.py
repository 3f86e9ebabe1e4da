"""Flags and files in, exit code out: main (front door), cluster (dealer), genesis (L2 genesis)."""
