"""What the cluster is measured against: sequencers as rollups run them today, with the same
execution layer and rollup node below them. For test networks alone.

config        the file that a sequencer reads
sequencer     builds a block each slot, signs it with its one key, gives it to its rollup node
lease         of several: which one leads, by a lease on a key in etcd
following     of several: takes over the signed blocks of the others
__main__      the program: `python -m devnet.baseline --config FILE`
"""
