"""What an execution is given and what it gives back: values shared by evm, chain and services."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from dst.execution.receipts import Receipt
from dst.execution.state.commit import StateCommit
from dst.spec.errors import InvalidInput, Unavailable
from dst.spec.primitives import Address, Hash32

Interrupt: TypeAlias = Callable[[], None]
"""Called at least every 20 ms of run time; raises ExecutionAborted to stop the run."""


class Engine(StrEnum):
    """What runs the code of messages."""

    FAST = "fast"
    STOCK = "stock"
    """py-evm's computation, opcode loop, messages and precompiles as they are, over our state:
    slow, deaf to interrupts, and wrong where py-evm is. For differential runs."""


class ExecutionAborted(Unavailable):
    """The run was stopped from outside: a deadline, a newer request, a client that went away."""


class InvalidBlock(InvalidInput):
    """A block that breaks a rule of execution; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockEnvironment:
    """The block a transaction runs in."""

    chain_id: int
    number: int
    timestamp: int
    fee_recipient: Address
    prev_randao: Hash32
    gas_limit: int
    base_fee_per_gas: int
    parent_hash: Hash32
    parent_beacon_block_root: Hash32
    ancestor_hash: Callable[[int], bytes]
    """Hash of an ancestor by number, b"" when there is none (opcode BLOCKHASH asks up to 256 back).
    """
    blob_base_fee: int = 1
    """What BLOBBASEFEE answers: the least there is, because no block carries blobs."""
    engine: Engine = Engine.FAST


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockResult:
    """An executed block, before its header is made."""

    receipts: tuple[Receipt, ...]
    gas_used: int
    bloom: int
    requests: tuple[bytes, ...]
    """EIP-7685, empty ones left out."""
    touched: tuple[bytes, ...]
    """By transaction: addresses that it met beside sender and receiver, one behind the other."""
    fees: int
    """Priority fees earned by the fee recipient, in wei."""
    state: StateCommit
