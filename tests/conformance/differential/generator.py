"""Random plans: every opcode, every kind of call, creation and precompile, on values at the edges.

A profile says how much of the expensive things a plan holds: pairings and curve points take
unmodified py-evm a second each.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dst.spec.primitives import Address
from tests.conformance.differential.code import (
    Apply,
    Const,
    Do,
    Expression,
    Loop,
    Mix,
    Program,
    Put,
    Raw,
    Shuffle,
    Statement,
    When,
)
from tests.conformance.differential.plan import (
    CHAIN_ID,
    GWEI,
    KEYS,
    SENDERS,
    Authorization,
    Contract,
    Plan,
    PlannedBlock,
    PlannedTransaction,
    address_of,
)
from tests.conformance.differential.precompile_inputs import precompile_input


@dataclass(frozen=True, slots=True)
class Profile:
    contracts: int
    blocks: int
    transactions: int
    """A block."""
    curve_share: float = 0.02
    """Of precompile calls, those that go to a pairing or curve map."""
    inherited_faults: bool = True
    """Also inputs on which unmodified py-evm is known to be wrong (MODEXP with an empty base)."""


STOCK: Final = Profile(contracts=8, blocks=3, transactions=8, inherited_faults=False)
GETH: Final = Profile(contracts=40, blocks=10, transactions=25, curve_share=0.3)

_NULLARY: Final = (
    0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3A, 0x3D, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,
    0x4A, 0x58, 0x59, 0x5A,
)  # fmt: skip
_UNARY: Final = (0x15, 0x19, 0x31, 0x35, 0x3B, 0x3F, 0x40, 0x49, 0x51, 0x54, 0x5C)
_BINARY: Final = (
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0A, 0x0B, 0x10, 0x11, 0x12, 0x13, 0x14, 0x16, 0x17,
    0x18, 0x1A, 0x1B, 0x1C, 0x1D, 0x20,
)  # fmt: skip
_TERNARY: Final = (0x08, 0x09)
_OF_ADDRESS: Final = frozenset((0x31, 0x3B, 0x3F))
_OF_SLOT: Final = frozenset((0x54, 0x5C))
_CALL, _CALLCODE, _DELEGATECALL, _STATICCALL = 0xF1, 0xF2, 0xF4, 0xFA
_SCRATCH: Final = 0x40
"""Calls read and write here; the mixed word stays at 0."""


def random_plan(seed: int, profile: Profile) -> Plan:
    return _Generator(seed, profile).plan()


class _Generator:
    def __init__(self, seed: int, profile: Profile) -> None:
        self._rng = random.Random(seed)
        self._seed, self._profile = seed, profile
        self._contracts = tuple(address_of(0xC0DE00 + i) for i in range(profile.contracts))

    def plan(self) -> Plan:
        contracts = tuple(self._contract(address) for address in self._contracts)
        blocks = tuple(self._block(number) for number in range(self._profile.blocks))
        return Plan(contracts=contracts, blocks=blocks, seed=self._seed)

    # blocks and transactions

    def _contract(self, address: Address) -> Contract:
        rng = self._rng
        slots = tuple((slot, self._word()) for slot in range(rng.randrange(4)))
        return Contract(
            address=address,
            code=self._program(),
            balance=rng.choice((0, 1, 10**6, 10**18)),
            storage=tuple((slot, value) for slot, value in slots if value),
        )

    def _block(self, number: int) -> PlannedBlock:
        rng = self._rng
        gifts = tuple(
            (
                rng.choice((*SENDERS, *self._contracts, address_of(0xD0 + number))),
                rng.choice((0, 1, 10**9)),
            )
            for _ in range(rng.choice((0, 0, 1, 3)))
        )
        return PlannedBlock(
            transactions=tuple(self._transaction() for _ in range(self._profile.transactions)),
            fee_recipient=rng.choice((address_of(0xFE), *self._contracts[:2], SENDERS[0])),
            withdrawals=gifts,
        )

    def _transaction(self) -> PlannedTransaction:
        rng = self._rng
        creates = rng.random() < 0.12
        type_id = rng.choice((0, 1, 2, 2) if creates else (0, 1, 2, 2, 4))
        to = None if creates else self._target()
        data = self._init_code() if creates else rng.randbytes(rng.choice((0, 4, 36, 300)))
        return PlannedTransaction(
            sender=rng.randrange(len(KEYS)),
            type_id=type_id,
            to=to,
            value=rng.choice((0, 0, 1, 10**9, 10**18)),
            gas=rng.choice((120_000, 400_000, 400_000, 900_000)),
            data=data,
            tip=rng.choice((0, 1, GWEI)),
            fee=rng.choice((2 * GWEI, 5 * GWEI)),
            access_list=self._access_list() if type_id else (),
            authorizations=self._authorizations() if type_id == 4 else (),
        )

    def _target(self) -> Address:
        rng = self._rng
        kind = rng.random()
        if kind < 0.8:
            return rng.choice(self._contracts)
        if kind < 0.9:
            return rng.choice(SENDERS)
        return address_of(rng.choice((0, 1, 2, 4, 5, 9, 0xAA, 0x12)))

    def _access_list(self) -> tuple[tuple[Address, tuple[int, ...]], ...]:
        rng = self._rng
        return tuple(
            (self._any_address(), tuple(rng.randrange(6) for _ in range(rng.randrange(3))))
            for _ in range(rng.randrange(3))
        )

    def _authorizations(self) -> tuple[Authorization, ...]:
        rng = self._rng
        return tuple(
            Authorization(
                authority=rng.randrange(len(KEYS)),
                address=rng.choice(
                    (*self._contracts, *self._contracts, address_of(0), SENDERS[1], address_of(4))
                ),
                chain_id=rng.choice((0, CHAIN_ID, CHAIN_ID, 5)),
                nonce_offset=rng.choice((0, 0, 0, 1, -1)),
            )
            for _ in range(rng.choice((1, 1, 2, 3)))
        )

    # programs

    def _program(self, depth: int = 0) -> Program:
        rng = self._rng
        body = self._body(rng.randrange(2, 10 if depth == 0 else 4), depth)
        end = rng.choices(
            (
                b"\x00",
                bytes.fromhex("60405ff3"),
                bytes.fromhex("60045ffd"),
                bytes.fromhex("73") + rng.choice((*SENDERS, *self._contracts)) + b"\xff",
                bytes.fromhex("30ff"),
                b"\xfe",
            ),
            (6, 3, 2, 1, 0.3, 0.5),
        )[0]
        return Program(body=body, keep=rng.random() < 0.9, end=end)

    def _init_code(self) -> Program:
        """Runs a little, then returns code: a program's, or what a deployment must refuse."""
        rng = self._rng
        deployed: bytes | Program = rng.choice(
            (
                self._program(2),
                self._program(2),
                b"",
                b"\xef\x00",
                b"\x00" * 24_577,
                b"\xef\x01\x00" + SENDERS[0],
            )
        )
        size = rng.choice((0, 1, 32, 200, 24_577))
        end = bytes.fromhex("61") + size.to_bytes(2, "big") + bytes.fromhex("6080f3")
        return Program(
            (*self._body(rng.randrange(2), 2), Put(0x80, deployed)), rng.random() < 0.5, end
        )

    def _body(self, length: int, depth: int) -> tuple[Statement, ...]:
        return tuple(each for _ in range(length) for each in self._statement(depth))

    def _statement(self, depth: int) -> tuple[Statement, ...]:
        rng = self._rng
        nested = depth < 2
        choices: tuple[Callable[[], tuple[Statement, ...]], ...] = (
            lambda: (Mix(self._expression(rng.randrange(1, 4))),),
            lambda: self._store(),
            lambda: self._copy(),
            lambda: (self._log(),),
            lambda: self._call(),
            lambda: self._precompile(),
            lambda: (self._shuffle(),),
            lambda: self._create(depth),
            lambda: (self._loop(depth),) if nested else (),
            lambda: (When(self._expression(2), self._body(2, depth + 1)),) if nested else (),
            lambda: (self._odd(),),
        )
        return rng.choices(choices, (8, 5, 3, 1, 5, 2, 2, 1.5, 3, 2, 0.25))[0]()

    def _loop(self, depth: int) -> Loop:
        """Often hot and small, so that whoever compiles hot code does."""
        rng = self._rng
        if rng.random() < 0.6:
            body = tuple(Mix(self._expression(2)) for _ in range(rng.randrange(1, 3)))
            return Loop(rng.choice((20, 70, 300, 1_100)), body)
        return Loop(rng.choice((2, 3, 17, 40)), self._body(rng.randrange(1, 3), depth + 1))

    def _store(self) -> tuple[Statement, ...]:
        rng = self._rng
        value = self._expression(rng.randrange(2))
        return (
            rng.choice(
                (
                    Do(0x55, (self._slot(), value)),
                    Do(0x55, (self._slot(), Const(rng.choice((0, 0, 1))))),
                    Do(0x5D, (self._slot(), value)),
                    Do(0x52, (self._offset(), value)),
                    Do(0x53, (self._offset(), value)),
                )
            ),
        )

    def _copy(self) -> tuple[Statement, ...]:
        rng = self._rng
        size = Const(rng.choice((0, 1, 31, 32, 33, 200)))
        source = self._offset()
        statement = rng.choice(
            (
                Do(0x5E, (self._offset(), source, size)),
                Do(0x37, (self._offset(), source, size)),
                Do(0x39, (self._offset(), source, size)),
                Do(
                    0x3C,
                    (
                        Const(int.from_bytes(self._any_address(), "big")),
                        self._offset(),
                        source,
                        size,
                    ),
                ),
                # beyond the return data is an exceptional halt: mostly within
                Do(
                    0x3E,
                    (self._offset(), Const(0), rng.choice((Apply(0x3D), Apply(0x3D), Const(1)))),
                ),
            )
        )
        return (statement, Mix(Apply(0x20, (Const(_SCRATCH), Const(96)))))

    def _log(self) -> Statement:
        topics = self._rng.randrange(5)
        area = (self._offset(), Const(self._rng.choice((0, 1, 40))))
        return Do(0xA0 + topics, (*area, *(self._expression(0) for _ in range(topics))))

    def _call(self) -> tuple[Statement, ...]:
        rng = self._rng
        opcode = rng.choice((_CALL, _CALL, _CALLCODE, _DELEGATECALL, _STATICCALL, _STATICCALL))
        gas: Expression = rng.choice(
            (Const(0), Const(2_300), Const(30_000), Const(150_000), Apply(0x5A))
        )
        address: Expression = Const(int.from_bytes(self._any_address(), "big"))
        if rng.random() < 0.1:
            address = Apply(0x30)  # itself: recursion until gas or depth ends it
        value = (Const(rng.choice((0, 0, 0, 1, 10**20))),) if opcode in (_CALL, _CALLCODE) else ()
        areas = (
            Const(_SCRATCH),
            Const(rng.choice((0, 4, 64))),
            Const(_SCRATCH),
            Const(rng.choice((0, 32, 64))),
        )
        after: tuple[Statement, ...] = (Mix(Apply(0x3D)), Mix(Apply(0x51, (Const(_SCRATCH),))))
        return (
            Mix(Apply(opcode, (gas, address, *value, *areas))),
            *(after if rng.random() < 0.6 else ()),
        )

    def _precompile(self) -> tuple[Statement, ...]:
        rng = self._rng
        number, data = precompile_input(
            rng, self._profile.curve_share, self._profile.inherited_faults
        )
        gas = rng.choice((Apply(0x5A), Const(200_000), Const(3_000)))
        size = rng.choice((len(data), len(data), max(0, len(data) - 1), len(data) + 1))
        call = Apply(
            _STATICCALL,
            (gas, Const(number), Const(_SCRATCH), Const(size), Const(_SCRATCH), Const(64)),
        )
        return (
            Put(_SCRATCH, data),
            Mix(call),
            Mix(Apply(0x3D)),
            Mix(Apply(0x20, (Const(_SCRATCH), Const(64)))),
        )

    def _create(self, depth: int) -> tuple[Statement, ...]:
        rng = self._rng
        if depth >= 2:
            return ()
        value, at = Const(rng.choice((0, 0, 1))), Const(0x100)
        size = Const(rng.choice((0, 20, 120, 400)))
        arguments: tuple[Expression, ...] = (value, at, size)
        opcode = rng.choice((0xF0, 0xF5))
        if opcode == 0xF5:
            arguments += (Const(rng.choice((0, 1))),)
        made = Apply(opcode, arguments)
        slot = Const(rng.randrange(6))
        call = Apply(
            _CALL,
            (Const(60_000), Apply(0x54, (slot,)), Const(0), Const(0), Const(0), Const(0), Const(0)),
        )
        return (Put(0x100, self._init_code()), Do(0x55, (slot, made)), Mix(Apply(0x3D)), Mix(call))

    def _shuffle(self) -> Shuffle:
        rng = self._rng
        values = tuple(self._word() for _ in range(rng.randrange(1, 18)))
        return Shuffle(values, tuple(rng.randrange(0x80, 0xA0) for _ in range(rng.randrange(12))))

    def _odd(self) -> Raw:
        """Ends of a frame that only hostile code has, and jumps into data."""
        choices = (
            "fe",
            "0c",
            "56",
            "5f56",
            "600156",
            "50",
            "8f",
            "5b",
            "61",
            "5fff",
            "3d3d3e",
            "b05b",
            "605b",
            "58565b",
        )
        return Raw(bytes.fromhex(self._rng.choice(choices)))

    # values

    def _expression(self, depth: int) -> Expression:
        rng = self._rng
        if depth <= 0:
            return Const(self._word()) if rng.random() < 0.6 else Apply(rng.choice(_NULLARY))
        opcode = rng.choice((*_NULLARY[:6], *_UNARY, *_BINARY, *_BINARY, *_TERNARY))
        if opcode in _OF_ADDRESS:
            return Apply(opcode, (Const(int.from_bytes(self._any_address(), "big")),))
        if opcode in _OF_SLOT:
            return Apply(opcode, (self._slot(),))
        if opcode == 0x51:
            return Apply(opcode, (self._offset(),))
        if opcode == 0x20:
            return Apply(opcode, (self._offset(), Const(rng.choice((0, 1, 32, 137)))))
        if opcode == 0x40:
            back = Const(rng.choice((0, 1, 2, 256, 257)))
            return Apply(opcode, (Apply(0x03, (Apply(0x43), back)),))
        if opcode in (0x1A, 0x1B, 0x1C, 0x1D, 0x0B):
            return Apply(
                opcode,
                (
                    Const(rng.choice((0, 1, 8, 30, 31, 32, 255, 256, 2**255))),
                    self._expression(depth - 1),
                ),
            )
        count = (
            0 if opcode in _NULLARY else 1 if opcode in _UNARY else 3 if opcode in _TERNARY else 2
        )
        return Apply(opcode, tuple(self._expression(depth - 1) for _ in range(count)))

    def _word(self) -> int:
        rng = self._rng
        edges = (0, 1, 2, 31, 32, 255, 256, 2**64, 2**128 - 1, 2**255, 2**255 - 1, 2**256 - 1)
        return rng.choice(
            (rng.choice(edges), rng.choice(edges), rng.getrandbits(16), rng.getrandbits(256))
        )

    def _slot(self) -> Const:
        return Const(self._rng.randrange(6))

    def _offset(self) -> Expression:
        """Mostly small; sometimes far, sometimes where no gas reaches."""
        rng = self._rng
        return Const(
            rng.choices(
                (rng.randrange(0x20, 0x200), 0x1000 + rng.randrange(64), 0x8000, 2**40, 2**256 - 1),
                (90, 5, 3, 0.5, 0.5),
            )[0]
        )

    def _any_address(self) -> Address:
        rng = self._rng
        kind = rng.random()
        if kind < 0.65:
            return rng.choice(self._contracts)
        if kind < 0.8:
            return rng.choice(SENDERS)
        return address_of(rng.choice((*range(0x13), 0xAA, 0xFE, 0xD0)))
