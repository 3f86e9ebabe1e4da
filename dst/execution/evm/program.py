"""Code as it is run: the bytes and what is known about them, in a bounded cache by code hash.

A program is found by the code hash that the account already holds, so that a call neither loads nor
hashes code. What is known grows lazily: jump destinations at the first jump, a translated block
when its beginning has been reached often enough (`dst.execution.evm.translator`).

Threads share programs: every change is one operation on a dict, and two threads that find the same
thing out store equal values.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from dst.execution.state.account import EMPTY_CODE_HASH
from dst.execution.state.overlay import BlockState
from dst.transactions.validity import is_delegation

Block: TypeAlias = Callable[[Any], int]
"""A translated block: takes the computation, returns where to go on (see `translator`)."""

CACHE_BYTES: Final = 64 * 2**20
"""Code and an estimate of what is known about it; about 100 hot contracts of 24 KB, or thousands of
the usual kind. An EVM process holds between half of it and all of it."""
MAX_PROGRAM_BYTES: Final = 8 * 2**20
"""Of one program: from here on no more blocks are translated. 24 KB of ordinary code come to 2 to 3
MB."""
_OVERHEAD_BYTES: Final = 1_000
"""Of a program without blocks, beside its code."""

_JUMPDEST: Final = 0x5B
_PUSH1: Final = 0x60
_PUSH32: Final = 0x7F


class Program:
    """One code. Equal codes may have several programs; they behave the same."""

    __slots__ = ("_cache", "_destinations", "blocks", "code", "delegate", "heat", "size")

    def __init__(self, code: bytes, cache: "ProgramCache | None" = None) -> None:
        self.code = code
        self.delegate: bytes | None = code[3:] if is_delegation(code) else None
        """EIP-7702: where the code to run is."""
        self.blocks: dict[int, Block] = {}
        """Translated blocks by the position of their first opcode."""
        self.heat: dict[int, int] = {}
        """How often a block that is not translated was begun."""
        self.size = _OVERHEAD_BYTES + len(code)
        self._destinations: frozenset[int] | None = None
        self._cache = cache

    def add_block(self, start: int, block: Block, size: int) -> None:
        """`size`: about how many bytes it holds."""
        self.blocks[start] = block
        self.size += size
        if self._cache is not None:
            self._cache.count(size)

    @property
    def destinations(self) -> frozenset[int]:
        """Positions of JUMPDEST that are no push data: milliseconds for 48 KB of init code."""
        if self._destinations is None:
            self._destinations = jump_destinations(self.code)
        return self._destinations


def jump_destinations(code: bytes) -> frozenset[int]:
    """Source: yellow paper section 9.4.3."""
    found = []
    position, end = 0, len(code)
    while position < end:
        opcode = code[position]
        if opcode == _JUMPDEST:
            found.append(position)
        elif _PUSH1 <= opcode <= _PUSH32:
            position += opcode - _PUSH1 + 1
        position += 1
    return frozenset(found)


class ProgramCache:
    """Programs of deployed code by code hash, bounded by bytes in two generations: what was not
    used while half of the bound was filled anew is forgotten."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self._half = limit_bytes // 2
        self._young: dict[bytes, Program] = {}
        self._old: dict[bytes, Program] = {}
        self._young_bytes = 0

    def find(self, accounts: BlockState, code_hash: bytes) -> Program:
        """The program of the code with this hash."""
        program = self._young.get(code_hash)
        if program is None:
            program = self._old.get(code_hash)
            if program is None:
                program = Program(accounts.code(code_hash), self)
            self._young[code_hash] = program
            self.count(program.size)
        return program

    def count(self, size: int) -> None:
        """So many bytes more are known about a program in use."""
        self._young_bytes += size
        if self._young_bytes > self._half:
            self._old, self._young, self._young_bytes = self._young, {}, 0


PROGRAMS: Final = ProgramCache()
"""Of this process; the EVM threads share it."""
NO_CODE: Final = Program(b"")


def program_at(accounts: BlockState, address: bytes) -> Program:
    """The code of an account itself: a delegation is not followed here."""
    account = accounts.account(address)
    if account is None or account.code_hash == EMPTY_CODE_HASH:
        return NO_CODE
    return PROGRAMS.find(accounts, account.code_hash)
