"""Link faults are proven by those who dial, where they tell: what stands and is not felt is not
proven, what is felt no more has lapsed, and who can tell nothing is no witness."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

import msgspec
import pytest

from devnet.faults.base import Fault, Sight
from devnet.faults.cut import Cut
from devnet.faults.felt import LEAST_S, LIST_ALONE, WAITED_S
from devnet.faults.flap import Flap
from devnet.faults.latency import Latency
from devnet.faults.limit_data import UNDER_WAY, LimitData
from devnet.faults.on_links import WINDOW_S
from devnet.faults.partition import Partition
from devnet.faults.regions import Matrix, Regions
from devnet.faults.reset import Reset
from devnet.faults.slicer import Slicer
from devnet.faults.surface import Said
from devnet.faults.timeout import Timeout
from devnet.injector.injector import Injector
from devnet.injector.planned import Planned
from devnet.model.cut import CutMode
from devnet.model.history import FaultReceipt
from devnet.model.shape import Streams
from devnet.model.terms import Duration
from devnet.report.html import _looks
from tests.unit.chaos.fake_network import FakeNetwork, in_virtual_time
from tests.unit.chaos.test_faults import sight

LATE = Latency(one_way=Duration(seconds=0.05))
Change = Callable[[FakeNetwork], Awaitable[None]]


async def nothing(_: FakeNetwork) -> None:
    pass


async def nobody_feels_it(network: FakeNetwork) -> None:
    network.bugs |= {"unfelt"}


def receipts_of(
    do: Fault,
    *,
    before: Change = nothing,
    during: Change = nothing,
    healed: Change = nothing,
    seconds: float = 5,
    aimed: Sight | None = None,
) -> list[FaultReceipt]:
    """At proof, after it has stood, and after the heal."""
    network = FakeNetwork()

    async def work() -> list[FaultReceipt]:
        await before(network)
        injector = Injector(world=network, events=list, record=lambda _: None)
        fault = Planned(id="x", do=do, site=do.aim(aimed or sight()), aimed_height=6)
        found = [await injector.apply(fault)]
        await during(network)
        try:
            async with asyncio.timeout(seconds):
                last = await injector.watch(fault)
        except TimeoutError:
            last = injector._receipts["x"]
        found.append(last)
        await healed(network)
        return [*found, await injector.revert(fault)]

    found: list[FaultReceipt] = in_virtual_time(work)
    return found


# ----------------------------------------------------------------------------- delays


@pytest.mark.parametrize(
    ("do", "words"),
    [
        (LATE, "answers take 101.0 to 101.0 ms on 12 of 12 links"),
        (
            replace(LATE, jitter=Duration(seconds=0.02)),
            "answers take 61.0 to 61.0 ms on 12 of 12 links",
        ),
        (replace(LATE, stream=Streams.UPSTREAM), "answers take 51.0 to 51.0 ms on 12 of 12 links"),
        (Regions(matrix=Matrix.WORLD), "answers take 71.0 to 231.0 ms on 12 of 24 links"),
    ],
)
def test_a_delay_is_proven_by_what_answers_take(do: Fault, words: str) -> None:
    applied, stood, healed = receipts_of(do)
    assert applied.error == stood.error == healed.error == ""
    assert applied.witness == words
    assert applied.applied is not None
    assert applied.verified is not None
    assert applied.verified - applied.applied >= 2.5, "six pongs take their time"


@pytest.mark.parametrize("do", [LATE, Regions(matrix=Matrix.COASTS)])
def test_a_delay_that_nobody_feels_is_not_proven(do: Fault) -> None:
    applied, *_ = receipts_of(do, before=nobody_feels_it)
    assert "answered too soon: " in applied.error


def test_a_delay_that_is_felt_no_more_has_lapsed() -> None:
    _, stood, _ = receipts_of(LATE, during=nobody_feels_it, seconds=8)
    assert stood.lapsed is not None
    assert "answered too soon" in stood.error


@pytest.mark.parametrize(("seconds", "lapses"), [(2.6, False), (6.0, True)])
def test_one_early_answer_is_let_go(seconds: float, lapses: bool) -> None:
    """It is among the last four for two seconds."""

    async def early(network: FakeNetwork) -> None:
        told, until = network.links.told, asyncio.get_running_loop().time() + seconds

        async def quick(links: Sequence[str]) -> Mapping[str, Said]:
            found = await told(links)
            if asyncio.get_running_loop().time() > until:
                return found
            return {link: replace(each, trip_s=0.03) for link, each in found.items()}

        network.links.told = quick  # type: ignore[method-assign]

    _, stood, _ = receipts_of(LATE, during=early, seconds=8)
    assert (stood.lapsed is not None) is lapses


def test_answers_that_stay_late_are_not_healed() -> None:
    async def stay_late(network: FakeNetwork) -> None:
        told = network.links.told

        async def still(links: Sequence[str]) -> Mapping[str, Said]:
            return {link: replace(each, trip_s=0.1) for link, each in (await told(links)).items()}

        network.links.told = still  # type: ignore[method-assign]

    *_, healed = receipts_of(LATE, healed=stay_late)
    assert "still late: " in healed.error


@pytest.mark.parametrize(
    "do",
    [
        Latency(one_way=Duration(seconds=LEAST_S / 2 - 0.001)),
        replace(LATE, jitter=LATE.one_way),
        replace(LATE, toxicity=0.5),
        Slicer(),
    ],
)
def test_where_nobody_can_tell_the_list_stands_alone_and_says_so(do: Fault) -> None:
    receipts = receipts_of(do, before=nobody_feels_it)
    assert [receipt.error for receipt in receipts] == ["", "", ""]
    assert {receipt.witness for receipt in receipts} == {LIST_ALONE}


def test_who_was_slow_before_is_no_witness() -> None:
    async def slow(network: FakeNetwork) -> None:
        told = network.links.told

        async def all_slow(links: Sequence[str]) -> Mapping[str, Said]:
            return {link: replace(each, trip_s=0.06) for link, each in (await told(links)).items()}

        network.links.told = all_slow  # type: ignore[method-assign]

    applied, *_ = receipts_of(LATE, before=slow)
    assert (applied.error, applied.witness) == ("", LIST_ALONE)


def test_links_that_are_down_and_nodes_that_are_away_are_no_witnesses() -> None:
    async def split(network: FakeNetwork) -> None:
        groups = Partition(split=(2, 2))
        await groups.inject(groups.aim(sight()), network)

    async def kill(network: FakeNetwork) -> None:
        await network.programs.kill(["op2.middleware"])

    applied, *_ = receipts_of(LATE, before=split)
    assert (applied.error, applied.witness) == (
        "",
        "answers take 101.0 to 101.0 ms on 4 of 12 links",
    )
    applied, stood, _ = receipts_of(LATE, during=kill)
    assert stood.error == ""
    assert stood.witness == "answers take 101.0 to 101.0 ms on 9 of 12 links"


def test_who_is_started_anew_is_heard_when_it_has_something_to_tell() -> None:
    """Its counters begin again; what it measured at first may be of another time."""

    async def restart(network: FakeNetwork) -> None:
        await nobody_feels_it(network)
        links = [link.name for link in network.topology.consensus_links]
        network.links._answers = {link: (0.0, asyncio.get_running_loop().time()) for link in links}

    _, stood, _ = receipts_of(LATE, during=restart, seconds=2.5)
    assert stood.error == ""
    _, stood, _ = receipts_of(LATE, during=restart, seconds=9)
    assert "answered too soon" in stood.error


# ----------------------------------------------------------------------------- ends


@pytest.mark.parametrize("do", [Reset(), Flap()])
def test_ends_are_proven_by_those_who_dial_again(do: Fault) -> None:
    applied, stood, healed = receipts_of(do)
    assert applied.error == stood.error == healed.error == ""
    assert "counted by those who dial, on 12 of 12 links" in applied.witness
    applied, *_ = receipts_of(do, before=nobody_feels_it)
    assert "not failed yet: " in applied.error


def test_resets_that_are_felt_no_more_have_lapsed() -> None:
    _, stood, _ = receipts_of(Reset(), during=nobody_feels_it, seconds=WINDOW_S)
    assert stood.error == ""
    _, stood, _ = receipts_of(Reset(), during=nobody_feels_it, seconds=2 * WINDOW_S)
    assert "not failed for 10 s" in stood.error


def test_a_limit_is_not_proven_by_those_who_send_on_and_on() -> None:
    """Two thousand bytes a second are sent here."""
    do = LimitData(bytes=5_000)
    enough = (do.bytes + UNDER_WAY) / 2000 + 3
    _, stood, _ = receipts_of(do, seconds=enough)
    assert stood.error == ""
    assert "on 12 of 12 links" in stood.witness
    _, stood, _ = receipts_of(do, before=nobody_feels_it, seconds=enough)
    assert "sent on and on" in stood.error
    for spared in (replace(do, stream=Streams.DOWNSTREAM), replace(do, toxicity=0.5)):
        _, stood, _ = receipts_of(spared, before=nobody_feels_it, seconds=enough)
        assert (stood.error, stood.witness) == ("", LIST_ALONE)


# ----------------------------------------------------------------------------- cuts


@pytest.mark.parametrize(
    "do", [*(Cut(links="l1", mode=mode) for mode in CutMode), Timeout(links="l1")]
)
def test_who_is_cut_off_from_l1_has_to_miss_it(do: Fault) -> None:
    applied, stood, _ = receipts_of(do)
    assert applied.error == stood.error == ""
    assert "on 5 of 5 links" in applied.witness
    applied, *_ = receipts_of(do, before=nobody_feels_it)
    assert "not failed yet: op1>l1.rpc" in applied.error


def test_no_answer_comes_over_a_link_that_is_cut() -> None:
    applied, stood, _ = receipts_of(Cut(links="engine"), during=nobody_feels_it)
    assert applied.error == ""
    assert "still answered: op1.rollup>op1.engine" in stood.error


def test_who_has_nothing_to_ask_is_waited_for_and_no_witness() -> None:
    async def idle(network: FakeNetwork) -> None:
        async def told(links: Sequence[str]) -> Mapping[str, Said]:
            return {link: Said(answers=7, failures=2) for link in links}

        network.links.told = told  # type: ignore[method-assign]

    asks, _, _ = receipts_of(Cut(links="engine"))
    assert "counted by those who dial, on 5 of 5 links" in asks.witness
    quiet, stood, _ = receipts_of(Cut(links="engine"), before=idle)
    assert (quiet.error, stood.error) == ("", "")
    assert quiet.witness == stood.witness == LIST_ALONE
    took = [(each.verified or 0) - (each.applied or 0) for each in (asks, quiet)]
    assert took[0] < WAITED_S <= took[1] < WAITED_S + 1
    spared, *_ = receipts_of(Reset(links="engine", toxicity=0.5), before=idle)
    assert (spared.verified or 0) - (spared.applied or 0) < 1


@pytest.mark.parametrize("do", [Cut(target="op2"), Timeout(target="op2")])
def test_a_cut_between_operators_is_as_its_proof_says(do: Fault) -> None:
    applied, *_ = receipts_of(do)
    assert (applied.error, applied.witness) == ("", "")


def test_a_report_shows_by_whose_word_it_stood() -> None:
    receipt = FaultReceipt(id="wan", kind="latency", targets=(), requested=1.0, looks=3)
    assert _looks(receipt, "-") == "3 times"
    felt = msgspec.structs.replace(receipt, witness="answers take 101.0 ms", lapsed=7.0)
    assert _looks(felt, "6.0 s") == "3 times, not at 6.0 s: answers take 101.0 ms"
