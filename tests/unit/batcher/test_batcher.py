"""The batcher's loop: it posts in its turn, once, and goes on after L1 refused it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from dst.batcher.batcher import Batcher
from dst.batcher.plan import BatchBlock
from dst.crypto.account_key import AccountKey
from dst.derivation.frame import decode_frame
from dst.l1.rpc import L1Client
from dst.l1.tx_manager import TxManager
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec import ssz
from dst.spec.errors import Unavailable
from dst.spec.primitives import Address, OperatorIndex
from tests.unit.rollup.rollup_bench import make_chain, make_lock, seal, until_true

LOCK = make_lock()
BLOCKS = [
    BatchBlock(height=i + 1, message=ssz.encode(block), signature=seal(LOCK, block))
    for i, block in enumerate(make_chain(LOCK, 24))
]


@dataclass
class Chain:
    safe_height: int = 0
    sealed_height: int = 0
    round: int = 0

    def decided_round(self, height: int) -> int | None:
        return self.round

    def blocks(self, first: int, last: int) -> Sequence[BatchBlock]:
        return BLOCKS[first - 1 : last]


@dataclass
class Sender(TxManager):
    posted: list[tuple[int, int]] = field(default_factory=list)
    fails: bool = False
    attempts: int = 0

    def __post_init__(self) -> None:
        key = AccountKey(b"\x01" * 32)
        super().__init__(L1Client("http://127.0.0.1:1"), key, 1, Logger("test"))

    async def send(self, to: Address, data: bytes) -> int:
        self.attempts += 1
        if self.fails:
            raise Unavailable("L1 is away")
        assert to == LOCK.chain.batch_inbox
        batch = decode_frame(data, chain_id=LOCK.chain.chain_id, verify=lambda *_: True)
        self.posted.append((batch.first_height, batch.last_height))
        return 1


def make(operator: int, chain: Chain, sender: Sender) -> Batcher:
    return Batcher(
        lock=LOCK,
        operator=OperatorIndex(operator),
        source=chain,
        sealed=asyncio.Event(),
        sender=sender,
        log=Logger("test"),
        metrics=Metrics(),
    )


async def test_it_posts_what_l1_lacks_and_covers_a_missed_turn() -> None:
    chain, sender = Chain(), Sender()
    batcher = make(0, chain, sender)
    running = asyncio.get_running_loop().create_task(batcher.run())
    chain.sealed_height = 9
    batcher._sealed.set()
    await until_true(lambda: sender.posted == [(1, 9)])
    chain.safe_height, chain.sealed_height, sender.fails = 9, 16, True
    batcher._sealed.set()
    await until_true(lambda: sender.attempts == 2)
    sender.fails = False
    other = make(1, Chain(safe_height=9, sealed_height=17), sender)
    other_chain = Chain(safe_height=9, sealed_height=24)
    other._source = other_chain
    others = asyncio.get_running_loop().create_task(other.run())
    other._sealed.set()
    await until_true(lambda: sender.posted[-1] == (10, 24))
    running.cancel()
    others.cancel()


def test_each_interval_has_one_poster() -> None:
    for round_ in range(4):
        chains = [Chain(round=round_) for _ in range(4)]
        batchers = [make(i, chain, Sender()) for i, chain in enumerate(chains)]
        for chain in chains:
            chain.sealed_height = 8
        assert [batcher.is_my_turn() for batcher in batchers].count(True) == 1
        assert not any(batcher.is_my_turn() for batcher in batchers), "a turn comes once"
