"""QUANTITY, the number of JSON-RPC, and its plain cousin."""

from dst.spec.errors import InvalidInput


def parse_quantity(text: object, *, what: str = "quantity", bits: int = 64) -> int:
    """Decode a JSON-RPC QUANTITY: 0x, no leading zeros, below 2**bits.

    Raises: InvalidInput, naming `what`.
    """
    if not isinstance(text, str) or not text.startswith("0x") or len(text) < 3:
        raise InvalidInput(f"{what}: expected a 0x-prefixed quantity, got {str(text)[:80]!r}")
    digits = text[2:]
    if digits[0] == "0" and len(digits) > 1:
        raise InvalidInput(f"{what}: quantity with leading zeros: {text[:80]!r}")
    if len(digits) * 4 > bits + 3 or not digits.isalnum():
        raise InvalidInput(f"{what}: not a quantity of {bits} bits: {text[:80]!r}")
    try:
        value = int(digits, 16)
    except ValueError:
        raise InvalidInput(f"{what}: not hex: {text[:80]!r}") from None
    if value >> bits:
        raise InvalidInput(f"{what}: above 2**{bits}: {text[:80]!r}")
    return value


def parse_count(value: object, *, what: str, bits: int = 64) -> int:
    """A quantity or a plain integer, as clients send both. Raises: InvalidInput."""
    if isinstance(value, bool) or not isinstance(value, int):
        return parse_quantity(value, what=what, bits=bits)
    if value < 0 or value >> bits:
        raise InvalidInput(f"{what}: out of range")
    return value
