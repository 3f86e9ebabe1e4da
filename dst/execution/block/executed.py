"""A block that was executed, built here or brought: header, transactions, and what running them
gave."""

from dataclasses import dataclass

from dst.execution.block_format import Body
from dst.execution.environment import BlockResult
from dst.execution.header import Header, payload_of_header
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
