"""From a planned fault to calls on a backend or a link, with a receipt; it translates and proves,
and decides nothing.

`surface` what it needs of the network, `targets` roles to names, `hit` where a fault landed,
`injector` apply and revert.
"""
