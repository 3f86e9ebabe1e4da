"""A plan on our own engine: its blocks, made and then executed again as another node would."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_account import Account

from dst.execution.block.body import BlockRun
from dst.execution.block.executed import ExecutedBlock, finished_header
from dst.execution.chain import Chain
from dst.execution.genesis import read_genesis
from dst.execution.header import Header, next_base_fee
from dst.execution.interrupts import never
from dst.spec.beacon import Withdrawal
from dst.spec.primitives import ZERO_HASH, Gwei, Hash32
from dst.transactions.transaction import InvalidTransaction, Transaction, decode_transaction
from tests.conformance.differential.plan import (
    CHAIN_ID,
    KEYS,
    SENDERS,
    Authorization,
    Plan,
    PlannedBlock,
    PlannedTransaction,
)
from tests.conformance.eest import open_in_memory

SECONDS_PER_BLOCK = 2


@dataclass(frozen=True, slots=True)
class OurRun:
    genesis_hash: Hash32
    blocks: tuple[ExecutedBlock, ...]
    planned: tuple[tuple[PlannedTransaction, ...], ...]
    """Of each block the plans whose transactions are in it, in order."""


def run(plan: Plan) -> OurRun:
    chain = open_in_memory(read_genesis(plan.genesis()))
    blocks, planned = [], []
    for each in plan.blocks:
        block, included = _extend(chain, each)
        blocks.append(block)
        planned.append(included)
    return OurRun(chain.genesis_hash, tuple(blocks), tuple(planned))


def _extend(
    chain: Chain, plan: PlannedBlock
) -> tuple[ExecutedBlock, tuple[PlannedTransaction, ...]]:
    head = chain.heads
    draft = Header(
        parent_hash=head.head_hash,
        fee_recipient=plan.fee_recipient,
        state_root=head.head.state_root,
        number=head.head.number + 1,
        gas_limit=head.head.gas_limit,
        timestamp=head.head.timestamp + SECONDS_PER_BLOCK,
        extra_data=b"plan",
        prev_randao=Hash32(bytes([head.head.number % 256]) * 32),
        base_fee_per_gas=next_base_fee(head.head),
        parent_beacon_block_root=Hash32(b"\x22" * 32),
    )
    reader = chain.reader(head.head.state_root)
    nonces = [reader.get_nonce(sender) for sender in SENDERS]
    block_run = BlockRun(reader, chain.environment(draft), never)
    included: list[tuple[PlannedTransaction, Transaction]] = []
    for each in plan.transactions:
        transaction = _apply(block_run, each, nonces)
        if transaction is not None:
            included.append((each, transaction))
    block = _finish(chain, block_run, draft, plan, [each for _, each in included])
    return block, tuple(each for each, _ in included)


def _apply(block_run: BlockRun, plan: PlannedTransaction, nonces: list[int]) -> Transaction | None:
    """Sign with the nonce that is right now; None when it cannot be in the block (gas).

    A delegated sender's code may have created contracts, which moves its nonce behind our back: the
    refusal tells what it is.
    """
    for _ in range(2):
        transaction = sign(plan, nonces)
        try:
            block_run.apply(transaction)
        except InvalidTransaction as error:
            told = re.search(r"state: (\d+)", str(error))
            if told is None:
                return None
            nonces[plan.sender] = int(told[1])
            continue
        nonces[plan.sender] += 1
        for each in plan.authorizations:
            if each.nonce_offset == 0 and each.chain_id in (0, CHAIN_ID):
                nonces[each.authority] += 1
        return transaction
    return None


def _finish(
    chain: Chain,
    block_run: BlockRun,
    draft: Header,
    plan: PlannedBlock,
    transactions: Sequence[Transaction],
) -> ExecutedBlock:
    withdrawals = tuple(
        Withdrawal(index=index, validator_index=0, address=address, amount=Gwei(gwei))
        for index, (address, gwei) in enumerate(plan.withdrawals)
    )
    result = block_run.finish(withdrawals)
    raws = [each.raw for each in transactions]
    header = finished_header(draft, raws, withdrawals, result)
    block = chain.execute(header, raws, withdrawals, never)
    assert block.result.state.root == result.state.root, "the same block twice, two states"
    chain.insert(block)
    chain.set_forkchoice(block.hash, ZERO_HASH, ZERO_HASH)
    return block


# ── signing ─────────────────────────────────────────────────────────────────────────────────────


def sign(plan: PlannedTransaction, nonces: Sequence[int]) -> Transaction:
    fields: dict[str, Any] = {
        "chainId": CHAIN_ID,
        "nonce": nonces[plan.sender],
        "to": plan.to or b"",
        "value": plan.value,
        "gas": plan.gas,
        "data": plan.calldata(),
    }
    if plan.type_id in (0, 1):
        fields["gasPrice"] = plan.fee
    else:
        fields |= {"maxFeePerGas": plan.fee, "maxPriorityFeePerGas": plan.tip}
    if plan.type_id != 0:
        fields["type"] = plan.type_id
        fields["accessList"] = [
            {"address": "0x" + address.hex(), "storageKeys": [f"0x{slot:064x}" for slot in slots]}
            for address, slots in plan.access_list
        ]
    if plan.type_id == 4:
        fields["authorizationList"] = _authorizations(plan, nonces)
    raw = Account.sign_transaction(fields, KEYS[plan.sender]).raw_transaction
    return decode_transaction(bytes(raw))


def _authorizations(plan: PlannedTransaction, nonces: Sequence[int]) -> list[Any]:
    moving = list(nonces)
    moving[plan.sender] += 1  # the sender's own nonce moves before its list is read
    return [_authorization(each, moving) for each in plan.authorizations]


def _authorization(plan: Authorization, nonces: list[int]) -> Any:
    nonce = max(0, nonces[plan.authority] + plan.nonce_offset)
    if plan.nonce_offset == 0 and plan.chain_id in (0, CHAIN_ID):
        nonces[plan.authority] += 1
    return Account.from_key(KEYS[plan.authority]).sign_authorization(
        {"chainId": plan.chain_id, "address": "0x" + plan.address.hex(), "nonce": nonce}
    )
