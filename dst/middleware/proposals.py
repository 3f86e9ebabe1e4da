"""Blocks from and for the own rollup node: building one as leader, judging one as voter.

Both ask again until the round they serve is over; then they are cancelled, and with them the
request, so that the engine stops executing what nobody waits for.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Final, Protocol

from dst.apis.beacon import ProduceRequest
from dst.middleware.store import Store, slot_of
from dst.runtime.backoff import Backoff
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.cluster import ChainConfig
from dst.spec.errors import InvalidInput, Unavailable
from dst.spec.judgement import Judgement, Verdict
from dst.spec.primitives import Height, Round, Slot
from dst.spec.rules import slot_at

HOLD_RETRY_S: Final = 0.02
"""A held proposal usually waits for this operator's own import of the parent: milliseconds."""
HOLD_RETRY_CAP_S: Final = 0.1
JUSTIFIED_TRY_S: Final = 2.0
"""For one question about a justified proposal, which has no deadline: a link that swallowed it must
not silence this voter for long after it healed. The rollup node goes on executing meanwhile."""
PARENT_ROOT: Final = slice(16, 48)
"""Of an encoded BeaconBlock, after slot and proposer_index."""
MAX_UNSEALED: Final = 32
"""Above this many unsealed decided blocks, fresh ones carry no mempool transactions: a
sealed descendant covers 64 blocks at most (ADR 5)."""


class Builder(Protocol):
    """`BeaconClient` satisfies it. Raises InvalidInput, Unavailable, ResetRequired."""

    async def produce_block(self, request: ProduceRequest) -> bytes | None: ...


class Validator(Protocol):
    """`DstClient` satisfies it. Raises InvalidInput, Unavailable, ResetRequired."""

    async def validate(
        self,
        block: bytes,
        *,
        height: Height,
        round_: Round,
        justified: bool,
        deadline_ms: int | None,
    ) -> Judgement: ...


class Proposals:
    def __init__(
        self,
        *,
        chain: ChainConfig,
        store: Store,
        builder: Builder,
        validator: Validator,
        unsealed: Callable[[], int],
        imported: Callable[[], Height | None],
        log: Logger,
        metrics: Metrics,
        now: Callable[[], float],
        rng: random.Random | None = None,
    ) -> None:
        """`imported`: the rollup node's decided head as far as known."""
        self._chain, self._store = chain, store
        self._builder, self._validator = builder, validator
        self._unsealed, self._imported = unsealed, imported
        self._log, self._metrics, self._now, self._rng = log, metrics, now, rng
        self._lacks: str | None = None

    def waits_for(self) -> str | None:
        """Why the own rollup node's last answer was no block and no verdict, for a person."""
        return self._lacks

    async def build(self, height: Height) -> bytes:
        """A fresh block on the decided parent; asks until there is one.

        Raises: ResetRequired.
        """
        backoff, started = Backoff(first_s=0.01, rng=self._rng), asyncio.get_running_loop().time()
        complained = False
        while True:
            await self._wait_for_import(height)
            try:
                block = await self._builder.produce_block(
                    ProduceRequest(
                        slot=self._slot_to_build(),
                        no_tx_pool=self._unsealed() > MAX_UNSEALED,
                    )
                )
            except (Unavailable, InvalidInput) as error:
                if not complained:
                    self._log.warning("cannot_build", height=height, reason=str(error))
                complained, block = True, None
                self._lacks = f"a block to propose: {error}"
            if block is not None and self._extends_head(block):
                self._lacks = None
                self._metrics.observe("build", asyncio.get_running_loop().time() - started)
                return block
            await asyncio.sleep(backoff.next_delay())

    async def validate(
        self,
        block: bytes,
        *,
        height: Height,
        round_: Round,
        justified: bool,
        deadline_s: Callable[[], float] | None,
    ) -> bool:
        """The rollup node's verdict on a block that extends the decided one below; held proposals
        are asked about again.

        deadline_s: loop time at which the round ends as far as known now (while its timer does not
            run it moves on, so that a slow clock holds a proposal instead of dropping it); None:
            executed to the end.
        Raises: ResetRequired. Returns False also when the deadline passes while held.
        """
        if not self._extends_head(block):
            self._log.warning("proposal_invalid", round=round_, reason="not on the decided head")
            return False
        loop = asyncio.get_running_loop()
        started = loop.time()
        backoff = Backoff(first_s=HOLD_RETRY_S, cap_s=HOLD_RETRY_CAP_S, rng=self._rng)
        while True:
            left_ms = None if deadline_s is None else int((deadline_s() - loop.time()) * 1000)
            if left_ms is not None and left_ms <= 0:
                return False
            try:
                async with asyncio.timeout(JUSTIFIED_TRY_S if left_ms is None else None):
                    result = await self._validator.validate(
                        block,
                        height=height,
                        round_=round_,
                        justified=justified,
                        deadline_ms=left_ms,
                    )
            except InvalidInput as error:
                result = Judgement(Verdict.INVALID, str(error))
            except (Unavailable, TimeoutError) as error:
                result = Judgement(Verdict.HOLD, str(error) or "no answer")
            match result.status:
                case Verdict.VALID:
                    self._lacks = None
                    self._metrics.observe("validate", loop.time() - started)
                    return True
                case Verdict.INVALID:
                    self._lacks = None
                    self._log.warning("proposal_invalid", round=round_, reason=result.reason)
                    return False
                case Verdict.HOLD:
                    self._log.debug("proposal_held", round=round_, reason=result.reason)
                    self._lacks = f"a verdict on the proposal: {result.reason}"
            await asyncio.sleep(backoff.next_delay())

    async def _wait_for_import(self, height: Height) -> None:
        """The rollup node builds on its own head: wait until that is our decided one."""
        while (head := self._imported()) is not None and head < height - 1:  # noqa: ASYNC110
            await asyncio.sleep(0.002)

    def _slot_to_build(self) -> Slot:
        head = self._store.head_entry()
        parent_slot = 0 if head is None else head.slot
        return Slot(max(parent_slot + 1, slot_at(self._chain, self._now())))

    def _extends_head(self, block: bytes) -> bool:
        """At height 1 the parent is genesis, which only the rollup nodes know: voters check it."""
        head = self._store.head_entry()
        return head is None or (block[PARENT_ROOT] == head.root and slot_of(block) > head.slot)
