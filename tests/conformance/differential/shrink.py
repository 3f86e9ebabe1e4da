"""Make a failing plan small: leave out blocks, transactions, statements; straighten loops; shrink
values; keep each step after which it still fails. Deterministic, and bounded by a number of trials.
"""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from tests.conformance.differential.code import Apply, Const, Loop, Program, When
from tests.conformance.differential.plan import Plan, PlannedTransaction

MAX_TRIALS = 400

T = TypeVar("T")


class _Trials:
    """Counts, and remembers nothing else: what fails once fails again."""

    def __init__(self, fails: Callable[[Plan], bool], limit: int) -> None:
        self._fails, self.left = fails, limit

    def fails(self, candidate: Plan) -> bool:
        if self.left == 0:
            return False
        self.left -= 1
        return self._fails(candidate)


def shrink(plan: Plan, fails: Callable[[Plan], bool], limit: int = MAX_TRIALS) -> Plan:
    """The smallest plan met that still `fails`; `plan` itself must.

    First the long lists by halves (blocks, transactions, contracts), then whatever `smaller` says.
    """
    trials = _Trials(fails, limit)
    plan = _fewer(plan, plan.blocks, lambda kept: replace(plan, blocks=kept), trials)
    for number in range(len(plan.blocks) - 1, -1, -1):
        plan = _fewer_transactions(plan, number, trials)
    plan = _fewer(plan, plan.contracts, lambda kept: replace(plan, contracts=kept), trials)
    improved = True
    while improved and trials.left:
        improved = False
        for candidate in smaller(plan):
            if trials.fails(candidate):
                plan, improved = candidate, True
                break
            if not trials.left:
                break
    return plan


def _fewer_transactions(plan: Plan, number: int, trials: _Trials) -> Plan:
    blocks, block = plan.blocks, plan.blocks[number]

    def rebuilt(kept: tuple[Any, ...]) -> Plan:
        changed = replace(block, transactions=kept)
        return replace(plan, blocks=(*blocks[:number], changed, *blocks[number + 1 :]))

    return _fewer(plan, block.transactions, rebuilt, trials)


def _fewer(
    plan: Plan,
    items: tuple[Any, ...],
    rebuilt: Callable[[tuple[Any, ...]], Plan],
    trials: _Trials,
) -> Plan:
    """Leave out halves, quarters, ... single items, going on behind what had to stay."""
    size = len(items)
    while size:
        start = 0
        while start < len(items):
            kept = items[:start] + items[start + size :]
            if trials.fails(rebuilt(kept)):
                items, plan = kept, rebuilt(kept)
            else:
                start += size
        size //= 2
    return plan


def smaller(value: Any) -> Iterator[Any]:
    """Simpler values of the same place, the boldest first."""
    match value:
        case tuple():
            yield from _smaller_tuple(value)
        case bytes():
            yield from _smaller_bytes(value)
        case Const(number):
            yield from (Const(each) for each in (0, 1) if number > each)
        case Apply(_, arguments):
            yield from (Const(0), Const(1), *arguments)
            yield from _smaller_fields(value)
        case Loop(count, body):
            yield from (Loop(each, body) for each in (1, 2, count // 2) if 0 < each < count)
            yield from _smaller_fields(value)
        case When():
            yield When(Const(1), value.body)
            yield from _smaller_fields(value)
        case PlannedTransaction():
            yield from (replace(value, **plainer) for plainer in _plainer(value))
            yield from _smaller_fields(value)
        case Program() | Plan():
            yield from _smaller_fields(value)
        case _ if is_dataclass(value) and not isinstance(value, type):
            yield from _smaller_fields(value)


def _plainer(value: PlannedTransaction) -> Iterator[dict[str, Any]]:
    if value.value:
        yield {"value": 0}
    if value.type_id in (1, 2) and not value.authorizations:
        yield {"type_id": 0, "access_list": ()}


def _smaller_tuple(value: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Without a half, a quarter, ... one element; then with one element simpler; of a loop's or a
    branch's place also its body."""
    size = len(value)
    while size:
        for start in range(0, len(value), size):
            yield value[:start] + value[start + size :]
        size //= 2
    for at, each in enumerate(value):
        if isinstance(each, Loop | When):
            yield value[:at] + each.body + value[at + 1 :]
        for simpler in smaller(each):
            yield (*value[:at], simpler, *value[at + 1 :])


def _smaller_bytes(value: bytes) -> Iterator[bytes]:
    if value and len(value) != 20:  # addresses stay what they are
        yield b""
        if len(value) > 1:
            yield value[: len(value) // 2]


def _smaller_fields(value: T) -> Iterator[T]:
    assert is_dataclass(value)
    assert not isinstance(value, type)
    for each in fields(value):
        if each.metadata.get("fixed"):
            continue
        for simpler in smaller(getattr(value, each.name)):
            yield replace(value, **{each.name: simpler})
