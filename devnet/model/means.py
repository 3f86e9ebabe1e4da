"""What a fault may need of the machine or of its Docker daemon, and not every one has."""

from enum import StrEnum


class Means(StrEnum):
    FIREWALL = "firewall"
    """A packet filter in the network of a pod."""
    CPU_QUOTA = "cpu-quota"
    MEMORY_LIMIT = "memory-limit"
