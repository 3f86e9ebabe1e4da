"""A shrunk plan as a person reads it: contracts disassembled, transactions in words, receipts."""

from collections.abc import Iterator
from itertools import groupby

from eth.vm import opcode_values

from tests.conformance.differential.ours import OurRun
from tests.conformance.differential.plan import Plan, PlannedTransaction

_NAMES = {value: name for name, value in vars(opcode_values).items() if isinstance(value, int)}
MANY = 4


def shown(plan: Plan, ours: OurRun | None) -> str:
    return "\n".join(_lines(plan, ours))


def _lines(plan: Plan, ours: OurRun | None) -> Iterator[str]:
    for contract in plan.contracts:
        code = contract.bytecode()
        if code or contract.balance or contract.storage:
            yield f"contract 0x{contract.address.hex()} balance {contract.balance}"
            yield f"  storage {dict(contract.storage)}" if contract.storage else "  no storage"
            yield f"  code 0x{code.hex()}"
            yield f"  {disassembled(code)}"
    for number, block in enumerate(plan.blocks):
        gifts = [f"0x{address.hex()}: {gwei} gwei" for address, gwei in block.withdrawals]
        yield f"block {number} fee recipient 0x{block.fee_recipient.hex()} withdrawals {gifts}"
        yield from (f"  {_transaction(each)}" for each in block.transactions)
        if ours is not None and number < len(ours.blocks):
            for receipt in ours.blocks[number].result.receipts:
                word = "succeeded" if receipt.succeeded else "failed"
                yield f"  our receipt: {word}, gas {receipt.gas_used}, {len(receipt.logs)} logs"


def _transaction(each: PlannedTransaction) -> str:
    to = "create" if each.to is None else f"0x{each.to.hex()}"
    text = f"type {each.type_id} from key {each.sender + 1} to {to} value {each.value}"
    text += f" gas {each.gas} data 0x{each.calldata().hex()}"
    for authorization in each.authorizations:
        text += (
            f" [key {authorization.authority + 1} delegates to 0x{authorization.address.hex()}"
            f" chain {authorization.chain_id} nonce {authorization.nonce_offset:+d}]"
        )
    return text + (f" access {each.access_list}" if each.access_list else "")


def disassembled(code: bytes) -> str:
    words, at = [], 0
    while at < len(code):
        opcode = code[at]
        size = opcode - 0x5F if 0x60 <= opcode <= 0x7F else 0
        name = _NAMES.get(opcode, f"0x{opcode:02x}")
        words.append(f"{name} 0x{code[at + 1 : at + 1 + size].hex()}" if size else str(name))
        at += 1 + size
    runs = ((word, len(list(group))) for word, group in groupby(words))
    return " ".join(
        f"{word} x{count}" if count >= MANY else " ".join([word] * count) for word, count in runs
    )
