"""What a client should offer: suggestions and history, read from recent blocks."""

from collections.abc import Iterator
from typing import Final

from dst.apis.eth import parse_block_id
from dst.apis.quantity import parse_count
from dst.execution.chain import Chain
from dst.execution.header import Header, next_base_fee
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.dispatch import Where, rpc
from dst.execution.rpc.parameters import BlockParam, CountParam, PercentilesParam
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Hash32

DEFAULT_TIP: Final = 1_000_000_000
"""One gwei, while no block says otherwise."""
MAX_TIP: Final = 500_000_000_000
TIP_SAMPLE_BLOCKS: Final = 20
TIP_PERCENTILE: Final = 0.6
MAX_HISTORY_BLOCKS: Final = 1_024
MAX_PERCENTILES: Final = 100


class Fees:
    def __init__(self, chain: Chain, blocks: BlocksById) -> None:
        self._chain, self._blocks = chain, blocks

    @rpc("eth_gasPrice")
    def gas_price(self) -> str:
        """A price for legacy transactions: the next base fee and the suggested tip, in wei."""
        return hex(next_base_fee(self._chain.heads.head) + suggest_tip(self._chain))

    @rpc("eth_maxPriorityFeePerGas")
    def max_priority_fee(self) -> str:
        """The suggested tip in wei: 60 % of the last 20 blocks' transactions paid no more."""
        return hex(suggest_tip(self._chain))

    @rpc("eth_baseFee", where=Where.LOOP)
    async def base_fee(self) -> str:
        """Base fee of the next block, in wei."""
        return hex(next_base_fee(self._chain.heads.head))

    @rpc("eth_blobBaseFee", where=Where.LOOP)
    async def blob_base_fee(self) -> str:
        """One wei: there are no blobs here."""
        return "0x1"

    @rpc(
        "eth_feeHistory",
        errors=("-32000: header not found",),
        limits=(f"{MAX_HISTORY_BLOCKS} blocks", f"{MAX_PERCENTILES} percentiles"),
    )
    def history(
        self, count: CountParam, newest: BlockParam, percentiles: PercentilesParam = None
    ) -> dict[str, object]:
        """Base fees, how full blocks were, and tips at percentiles of their gas."""
        blocks = parse_count(count, what="blockCount")
        wanted = check_percentiles(percentiles)
        header, _ = self._blocks.resolve(parse_block_id(newest))
        return fee_history(self._chain, blocks, header.number, wanted)


def suggest_tip(chain: Chain) -> int:
    """A tip that 60 % of recent transactions did not exceed, in wei."""
    heads = chain.heads
    tips: list[int] = []
    header, block_hash = heads.head, heads.head_hash
    for _ in range(TIP_SAMPLE_BLOCKS):
        if header.number == 0:
            break
        tips.extend(tip for tip, _ in _tips(chain, block_hash, header))
        block_hash = header.parent_hash
        parent = chain.header(block_hash)
        assert parent is not None, "ancestors of the head are here"
        header = parent
    if not tips:
        return DEFAULT_TIP
    tips.sort()
    return min(max(tips[int((len(tips) - 1) * TIP_PERCENTILE)], 1), MAX_TIP)


def check_percentiles(value: object) -> tuple[float, ...]:
    """Raises: InvalidInput unless ascending numbers of 0 to 100."""
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_PERCENTILES:
        raise InvalidInput(f"rewardPercentiles: expected a list of at most {MAX_PERCENTILES}")
    numbers = [
        float(each)
        for each in value
        if isinstance(each, int | float) and not isinstance(each, bool) and abs(each) <= 100
    ]
    if len(numbers) != len(value) or numbers != sorted(numbers):
        raise InvalidInput("rewardPercentiles: expected ascending numbers")
    if numbers and not 0 <= numbers[0] <= numbers[-1] <= 100:
        raise InvalidInput("rewardPercentiles: out of range 0 to 100")
    return tuple(numbers)


def fee_history(
    chain: Chain, count: int, newest: int, percentiles: tuple[float, ...]
) -> dict[str, object]:
    """eth_feeHistory over `count` canonical blocks that end at `newest`."""
    count = min(count, MAX_HISTORY_BLOCKS, newest + 1)
    if count < 1:
        return {"oldestBlock": "0x0", "gasUsedRatio": [], "baseFeePerGas": []}
    blocks = list(_canonical(chain, newest - count + 1, newest))
    last = blocks[-1][0]
    base_fees = [header.base_fee_per_gas for header, _ in blocks] + [next_base_fee(last)]
    history: dict[str, object] = {
        "oldestBlock": hex(blocks[0][0].number),
        "baseFeePerGas": [hex(each) for each in base_fees],
        "gasUsedRatio": [header.gas_used / header.gas_limit for header, _ in blocks],
        "baseFeePerBlobGas": ["0x1"] * (len(blocks) + 1),
        "blobGasUsedRatio": [0.0] * len(blocks),
    }
    if percentiles:
        history["reward"] = [
            [hex(each) for each in _rewards(chain, block_hash, header, percentiles)]
            for header, block_hash in blocks
        ]
    return history


def _canonical(chain: Chain, first: int, last: int) -> Iterator[tuple[Header, Hash32]]:
    for number in range(first, last + 1):
        block_hash = chain.canonical_hash(number)
        header = None if block_hash is None else chain.header(block_hash)
        if block_hash is None or header is None:
            return
        yield header, block_hash


def _rewards(
    chain: Chain, block_hash: Hash32, header: Header, percentiles: tuple[float, ...]
) -> list[int]:
    """Tips at percentiles of the block's gas, cheapest first."""
    tips = sorted(_tips(chain, block_hash, header))
    if not tips:
        return [0] * len(percentiles)
    rewards: list[int] = []
    position, gas_seen = 0, tips[0][1]
    for percentile in percentiles:
        threshold = header.gas_used * percentile / 100
        while gas_seen < threshold and position < len(tips) - 1:
            position += 1
            gas_seen += tips[position][1]
        rewards.append(tips[position][0])
    return rewards


def _tips(chain: Chain, block_hash: Hash32, header: Header) -> list[tuple[int, int]]:
    """(effective tip, gas used) of each transaction of a block."""
    return [
        (each.effective_gas_price - header.base_fee_per_gas, each.gas_used)
        for each in chain.receipts(block_hash)
    ]
