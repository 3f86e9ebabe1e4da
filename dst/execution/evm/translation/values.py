"""Values of the stack as they are written: a number in hex where it is known, a local where not."""


def is_known(value: str) -> bool:
    """Is it a number, not a name?"""
    return value[0] == "0"


def plus(value: str, number: int) -> str:
    return hex(int(value, 16) + number) if is_known(value) else f"{value} + {number}"
