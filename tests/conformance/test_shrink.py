"""The shrinker finds what matters in a plan of hundreds of statements, within its trials."""

from collections.abc import Iterator
from typing import Any

from tests.conformance.differential import ours
from tests.conformance.differential.code import Apply, Const, Mix, Program, assemble
from tests.conformance.differential.generator import GETH, random_plan
from tests.conformance.differential.plan import Plan
from tests.conformance.differential.shrink import shrink, smaller

NEEDLE = Mix(Apply(0x31, (Const(0xDEAD),)))
NEEDLE_CODE = assemble(Program((NEEDLE,), keep=False, end=b""))


def holds_needle(plan: Plan) -> bool:
    """Something that is asked of one contract's code and of one sender's transaction at once."""
    in_code = any(NEEDLE_CODE in contract.bytecode() for contract in plan.contracts)
    return in_code and any(each.sender == 3 for block in plan.blocks for each in block.transactions)


def hidden(seed: int) -> Plan:
    plan = random_plan(seed, GETH)
    last = plan.contracts[-1]
    assert isinstance(last.code, Program)
    code = Program((*last.code.body, NEEDLE, *last.code.body))
    return Plan((*plan.contracts[:-1], type(last)(last.address, code)), plan.blocks, seed)


def test_a_needle_is_found() -> None:
    small = shrink(hidden(1), holds_needle)
    (contract,) = small.contracts
    assert isinstance(contract.code, Program)
    assert contract.code.body == (NEEDLE,)
    (transaction,) = (each for block in small.blocks for each in block.transactions)
    assert (transaction.sender, transaction.value, transaction.data) == (3, 0, b"")


def test_every_step_is_smaller_and_still_runs() -> None:
    plan = random_plan(2, GETH)
    small = Plan(plan.contracts[:2], plan.blocks[:1], plan.seed)
    steps = list(first(40, smaller(small)))
    assert all(step != small for step in steps)
    for step in steps:
        ours.run(step)


def first(count: int, items: Iterator[Any]) -> Iterator[Any]:
    return (item for _, item in zip(range(count), items, strict=False))
