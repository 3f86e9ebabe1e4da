"""A block that was executed, built here or brought: header, transactions, and what running them
gave."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dst.execution.block_format import Body
from dst.execution.environment import BlockResult
from dst.execution.header import Header, payload_of_header, requests_hash, withdrawals_root
from dst.execution.state.trie import ordered_root
from dst.spec.beacon import ExecutionPayload, Withdrawal
from dst.spec.primitives import Hash32
from dst.transactions.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutedBlock:
    header: Header
    hash: Hash32
    transactions: tuple[Transaction, ...]
    withdrawals: tuple[Withdrawal, ...]
    result: BlockResult

    def body(self) -> Body:
        return Body(
            transactions=tuple(each.raw for each in self.transactions),
            transaction_hashes=tuple(each.hash for each in self.transactions),
            withdrawals=tuple(
                (each.index, each.validator_index, each.address, each.amount)
                for each in self.withdrawals
            ),
            requests=self.result.requests,
            touched=self.result.touched,
        )


def payload_of(block: ExecutedBlock) -> ExecutionPayload:
    return payload_of_header(
        block.header, (each.raw for each in block.transactions), block.withdrawals
    )


def assembled(
    draft: Header,
    transactions: Sequence[Transaction],
    withdrawals: Sequence[Withdrawal],
    result: BlockResult,
) -> ExecutedBlock:
    """The block of a draft header whose body ran to this result."""
    header = finished_header(draft, [each.raw for each in transactions], withdrawals, result)
    return ExecutedBlock(
        header=header,
        hash=header.hash,
        transactions=tuple(transactions),
        withdrawals=tuple(withdrawals),
        result=result,
    )


def finished_header(
    draft: Header, raws: Sequence[bytes], withdrawals: Sequence[Withdrawal], result: BlockResult
) -> Header:
    """The draft with all that only execution tells."""
    return replace(
        draft,
        state_root=result.state.root,
        transactions_root=ordered_root(raws),
        receipts_root=ordered_root([each.encode() for each in result.receipts]),
        logs_bloom=result.bloom.to_bytes(256, "big"),
        gas_used=result.gas_used,
        withdrawals_root=withdrawals_root(withdrawals),
        requests_hash=requests_hash(result.requests),
    )
