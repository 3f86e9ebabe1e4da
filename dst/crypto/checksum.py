"""Addresses in mixed case, as people and error messages write them. Source: EIP-55."""

from dst.crypto.keccak import keccak256


def checksum_address(address: bytes) -> str:
    digits = address.hex()
    digest = keccak256(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if int(nibble, 16) >= 8 else digit
        for digit, nibble in zip(digits, digest, strict=False)
    )
