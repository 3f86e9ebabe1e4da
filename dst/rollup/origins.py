"""What the deterministic rules need to know of L1: the time of an origin, by hash."""

from dst.l1.source import L1Source
from dst.rollup.chain import Head
from dst.spec.beacon import BeaconBlock, L1Origin
from dst.spec.cluster import ClusterLock
from dst.spec.errors import Unavailable
from dst.spec.judgement import Judgement, Verdict
from dst.spec.rules import check_deterministic


async def judge_deterministic(
    lock: ClusterLock,
    l1: L1Source,
    parent: Head,
    block: BeaconBlock,
    *,
    l1_optional: bool = False,
) -> Judgement:
    """INVALID: the first deterministic rule that `block` breaks on `parent`. HOLD: L1 has not shown
    an origin that the rules need.

    l1_optional: for a block whose origin f+1 honest operators have checked: a sealed or a justified
    one. While L1 cannot tell, the two rules that need an origin's time are left to them: an L1
    outage, or a reorg that made L1 forget the origin, stops nobody.
    Raises: Unavailable while L1 cannot be asked for an origin not seen before.
    """
    times: list[int | None] = []
    for origin in (block.l1_origin, parent.block.l1_origin):
        found = await _origin_time(l1, origin, optional=l1_optional)
        if isinstance(found, Judgement):
            return found
        times.append(found)
    origin_time, parent_origin_time = times
    if origin_time is None:
        origin_time = block.body.execution_payload.timestamp
    if parent_origin_time is None:
        parent_origin_time = origin_time
    reason = check_deterministic(
        lock, parent.block, block, origin_time, parent_origin_time, parent_root=parent.root
    )
    return Judgement(Verdict.VALID) if reason is None else Judgement(Verdict.INVALID, reason)


async def _origin_time(l1: L1Source, origin: L1Origin, *, optional: bool) -> int | Judgement | None:
    """None: L1 cannot tell, and need not."""
    try:
        ref = await l1.ref_by_hash(origin.hash)
    except Unavailable:
        if not optional:
            raise
        return None
    if ref is None:
        if optional:
            return None
        return Judgement(Verdict.HOLD, f"L1 origin {origin.number} not seen yet")
    if ref.number != origin.number:
        detail = f"L1 origin {origin.number} has number {ref.number} on L1"
        return Judgement(Verdict.INVALID, detail)
    return ref.timestamp
