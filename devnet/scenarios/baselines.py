"""A scenario as it is on a baseline: the same faults, for the same time where their end is one, and
no promise but safety.

What a scenario expects (rounds that change, progress without an operator, a bounded stall) is what
our cluster promises. A baseline promises none of it: its figures say what happened. Pure.
"""

from dataclasses import replace
from typing import Final

from devnet.model.cluster import USUAL_SIZE, ClusterKind
from devnet.model.expect import Expect
from devnet.model.terms import Count, Duration, Edge, Moment, Until
from devnet.scenarios.scenario import Scenario

_N: Final = USUAL_SIZE[ClusterKind.DST]


def as_on(cluster: ClusterKind, scenario: Scenario) -> Scenario:
    if not cluster.is_baseline:
        return scenario
    return replace(
        scenario,
        faults=tuple(
            replace(
                each,
                at=replace(each.at, after=_healed(each.at.after)),
                until=_in_time(replace(each.until, after=_healed(each.until.after))),
            )
            for each in scenario.faults
        ),
        min_operators=1,
        start=_plain(scenario.start),
        settle=_plain(scenario.settle),
        expect=Expect(),
    )


def _in_time(until: Until) -> Until:
    """Heights that a cluster of the usual size decides meanwhile, a block a slot, and a slot for an
    event: a chain that stands still would hold the fault for ever, and that would be another
    fault."""
    if until.heights == Count() and until.trigger is None:
        return until
    slots = until.hold.slots + until.heights.for_operators(_N) + (until.trigger is not None)
    hold = Duration(seconds=until.hold.seconds, slots=slots)
    return replace(until, heights=Count(), hold=hold, trigger=None, leader="")


def _healed(moment: Moment | None) -> Moment | None:
    """Nobody votes there again."""
    if moment is None or moment.edge is not Edge.REJOIN:
        return moment
    return replace(moment, edge=Edge.HEAL)


def _plain(count: Count) -> Count:
    return Count(plain=count.for_operators(_N))
