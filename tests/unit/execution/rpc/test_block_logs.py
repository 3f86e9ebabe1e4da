"""The quick ways against the plain ones: encoding a log, choosing logs."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dst.apis.eth import LogFilter
from dst.execution.receipts import Log
from dst.execution.rpc import views
from dst.execution.rpc.block_logs import BlockLogs, _select, matches
from tests.unit.execution.evm.asm import asm
from tests.unit.execution.rpc.test_log_index import filters, logs
from tests.unit.execution.worlds import KEYS, address_of, make_world, signed

TALKER = address_of(0x7A1C)
TALK = "0 0 LOG0 7 64 0 LOG1 9 8 7 5 0 LOG3 4 3 2 1 0 0 LOG4 STOP"


@pytest.mark.parametrize("removed", [False, True])
def test_a_log_is_encoded_as_it_is_shown(tmp_path: Path, removed: bool) -> None:
    world = make_world(tmp_path, {TALKER: asm(TALK)})
    calls = [signed(KEYS[0], to=TALKER, gas=90_000, nonce=nonce) for nonce in range(3)]
    silent = signed(KEYS[1])
    block = world.extend([calls[0], silent, *calls[1:]])
    found = BlockLogs(world.chain, block.hash, block.header, removed=removed)
    view = views.load_block(world.chain, block.hash)
    assert view is not None
    shown = [
        views.show_log(view, index, block.transactions[index].hash, 0, log, removed=removed)
        for index, receipt in enumerate(world.chain.receipts(block.hash))
        for log in receipt.logs
    ]
    assert len(shown) == 12
    for position, each in enumerate(shown):
        assert found.encoded(position) == msgspec.json.encode({**each, "logIndex": hex(position)})
    world.store.close()


@given(st.lists(logs, max_size=20), filters)
def test_choosing_many_at_a_time_is_choosing_each(given: list[Log], wanted: LogFilter) -> None:
    numbered = list(enumerate(given))
    assert _select(numbered, wanted) == [each for each in numbered if matches(each[1], wanted)]
