"""The benchmarks: `python -m devnet.bench`, or `make bench`.

`phases` a block's way from payload to sealed everywhere, `throughput` transactions per second,
`resources` CPU and bytes, `measure` brings networks up and takes the figures, `page` the table and
docs/benchmarks.md.
"""
