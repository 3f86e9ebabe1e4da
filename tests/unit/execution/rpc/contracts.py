"""Contracts in the genesis of these tests, assembled by hand."""

from tests.unit.execution.worlds import address_of

LOGGER = address_of(0x1065)
"""Logs its calldata's first word as topic and data."""
STORE = address_of(0x5705)
"""Puts its calldata's first word into slot 0."""
ENVIRONMENT = address_of(0xE7)
"""Returns NUMBER, TIMESTAMP and BASEFEE."""
REVERTER = address_of(0x4E)

CODES = {
    LOGGER: bytes.fromhex("5f355f525f3560205fa100"),
    STORE: bytes.fromhex("5f355f5500"),
    ENVIRONMENT: bytes.fromhex("435f52426020524860405260605ff3"),
    REVERTER: bytes.fromhex("5f5ffd"),
}
