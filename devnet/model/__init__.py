"""Frozen values without behaviour: `topology` (who dials whom, ports) and `descriptor` (network.json)."""
