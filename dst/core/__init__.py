"""What the pure cores are made of: a step in the making, and the refusal that ends one."""

from dst.core.draft import Draft, Refusal

__all__ = ["Draft", "Refusal"]
