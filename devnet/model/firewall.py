"""The packet filter of a pod: names that the harness, its programs and its faults share."""

from typing import Final

FIREWALL_CODE: Final = ("devnet/firewall", "devnet/model/firewall.py", "devnet/model/whole.py")
"""What its program imports."""
FIREWALL_CAPABILITIES: Final = ("NET_ADMIN", "DAC_OVERRIDE")
"""Beside the filter it writes files, and those of a network may be any user's."""
DROPPED: Final = "dropped.json"
"""In its folder: link -> packets that it has dropped so far."""


def firewall_of(pod: str) -> str:
    """Name of the program."""
    return f"{pod}.firewall"


def firewall_home(pod: str) -> str:
    """Its folder within the network's."""
    return f"nodes/{pod}/firewall"
