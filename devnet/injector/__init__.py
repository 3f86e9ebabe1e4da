"""From a planned fault to calls on the network, with a receipt: it carries out, proves and goes on
looking, and decides nothing. What a kind of fault is, is its own affair (`devnet.faults`).

`planned` what is to be done, `injector` apply, watch and revert, `hit` where a fault landed.
"""
