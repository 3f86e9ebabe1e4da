"""What another node's bytes may cost: the lines of an event stream, the values of a JSON body."""

import asyncio
from typing import Any

import pytest

from dst.apis.rest import LINES_A_TURN, MAX_JSON_VALUES, load_json, read_events
from dst.spec.errors import InvalidInput


class Arrived:
    """An event stream of which all lines are here."""

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = iter(lines)

    async def readline(self) -> bytes:
        return next(self._lines, b"")


async def test_comments_without_end_leave_every_other_task_its_turn() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    content: Any = Arrived([b":\n"] * (20 * LINES_A_TURN) + [b"data: 7\n", b"\n"])
    task = asyncio.get_running_loop().create_task(others())
    assert [event.data async for event in read_events(content)] == ["7"]
    task.cancel()
    assert turns >= 20


@pytest.mark.parametrize("value", ["0", "[]", "{}", '{"a":[]}'])
def test_a_body_of_too_many_values_is_not_decoded(value: str) -> None:
    body = f"[{','.join([value] * (MAX_JSON_VALUES + 1))}]"
    for given in (body, body.encode()):
        with pytest.raises(InvalidInput, match="values"):
            load_json(given)


def test_as_many_values_as_a_full_block_has_are_decoded() -> None:
    assert load_json(f"[{','.join(['0'] * 10_000)}]") == [0] * 10_000
