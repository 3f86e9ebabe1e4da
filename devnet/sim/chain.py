"""The simulated cluster's constants, and the cores' functions over ideal signatures."""

from typing import Final

import dst.qbft
import dst.sealing
from devnet.sim import blocks, ideal, l1
from devnet.sim.params import ROUND_TIMEOUT_CAP_MS, ROUND_TIMEOUT_MS
from dst.middleware.wire import Functions
from dst.spec.cluster import ChainConfig, L1Genesis
from dst.spec.primitives import Address, Hash32, OperatorIndex, Root, Term

CHAIN: Final = Root(b"chain of the simulator".ljust(32, b"\0"))
TERM: Final = Term(0)
CONFIG: Final = ChainConfig(
    chain_id=1,
    l1_chain_id=l1.CHAIN_ID,
    genesis_time=0,
    seconds_per_slot=1,
    l1_genesis=L1Genesis(number=0, hash=Hash32(bytes(32))),
    l1_confirmations=l1.CONFIRMATIONS,
    fee_recipient=Address(bytes(20)),
    extra_data=b"",
    graffiti=bytes(32),
    max_block_bytes=blocks.MAX_BLOCK_BYTES,
    batch_inbox=Address(bytes(20)),
    round_timeout_ms=ROUND_TIMEOUT_MS,
    round_timeout_cap_ms=ROUND_TIMEOUT_CAP_MS,
    l2_genesis_hash=Hash32(bytes(32)),
)


def qbft_config(n: int, index: int) -> dst.qbft.Config:
    """The core's constants and ideal signatures, for one operator."""
    return dst.qbft.Config(
        genesis_validators_root=CHAIN,
        term=TERM,
        n=n,
        self_index=OperatorIndex(index),
        round_timeout_ms=ROUND_TIMEOUT_MS,
        round_timeout_cap_ms=ROUND_TIMEOUT_CAP_MS,
        max_block_bytes=blocks.MAX_BLOCK_BYTES,
        sign=ideal.signer(OperatorIndex(index)),
        verify=ideal.verify,
        root_of=blocks.root_of,
    )


def sealing_config(n: int, index: int) -> dst.sealing.Config:
    return dst.sealing.Config(
        term=TERM,
        n=n,
        self_index=OperatorIndex(index),
        combine=ideal.combiner(n),
        verify_group=ideal.verify_group,
        verify_partial=ideal.verify_partial,
    )


def functions(n: int, index: int) -> Functions:
    return Functions(
        qbft=qbft_config(n, index),
        sealing=sealing_config(n, index),
        to_sign=ideal.signing_root,
    )
