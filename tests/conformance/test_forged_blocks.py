"""Blocks that only a rule refuses, and those just within it: by our role over HTTP, and by geth
where one is (`make geth`), which says that we judge rightly what a rule is."""

from collections.abc import Callable

import pytest

from dst.execution.block.executed import ExecutedBlock
from dst.execution.genesis import read_genesis
from tests.conformance import forged
from tests.conformance.blocks import read_block
from tests.conformance.differential.geth import GETH_VERSION, GethJudge, find_geth
from tests.conformance.eest import open_in_memory
from tests.conformance.role import Endpoint, RoleHost
from tests.conformance.tally import Tally
from tests.stock_pyevm import block_bytes

MakeTally = Callable[[str], Tally]


@pytest.fixture(scope="module")
def blocks() -> dict[str, ExecutedBlock]:
    chain = open_in_memory(read_genesis(forged.genesis()))
    return {name: forged.forge(chain, case) for name, case in forged.CASES.items()}


def judge(
    engine: Endpoint, blocks: dict[str, ExecutedBlock], tally: Tally, *, is_geth: bool
) -> None:
    for name, block in blocks.items():
        case = forged.CASES[name]
        if is_geth and case.not_geths is not None:
            tally.skip(case.not_geths)
            continue
        refused = case.refused
        parameters = read_block(block_bytes(block)).parameters(block.result.requests)
        status = engine.call("engine_newPayloadV4", *parameters)
        wanted = "VALID" if refused is None else "INVALID"
        if status["status"] != wanted:
            tally.fail(name, f"expected {wanted}, got {status}")
        elif not is_geth and refused is not None and refused not in status["validationError"]:
            tally.fail(name, f"refused, but for another reason: {status['validationError']}")
        else:
            tally.notes[f"{wanted} as it must be"] += 1
            tally.ok()


def test_our_role(role_host: RoleHost, tally: MakeTally, blocks: dict[str, ExecutedBlock]) -> None:
    counts = tally("forged blocks, Engine API over HTTP")
    with role_host.serving(read_genesis(forged.genesis())) as role:
        judge(role.engine, blocks, counts, is_geth=False)
    counts.check()


def test_geth(tally: MakeTally, blocks: dict[str, ExecutedBlock]) -> None:
    geth = find_geth()
    counts = tally("forged blocks, as geth judges them")
    if geth is None:
        counts.skip(f"no geth {GETH_VERSION}: make geth, or GETH=FILE")
        pytest.skip(f"no geth {GETH_VERSION}")
    with GethJudge(geth).following(forged.genesis()) as (engine, _):
        judge(engine, blocks, counts, is_geth=True)
    counts.check()
