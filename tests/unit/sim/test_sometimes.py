"""The catalogue of situations: what is never met is reported, and looking changes nothing."""

from collections import Counter

import dst.qbft
import dst.sealing
from devnet.sim.campaign import Tally
from devnet.sim.chain import qbft_config
from devnet.sim.sometimes import CATALOGUE, CONSENSUS, SEALING, TOO_RARE, never_reached, watching
from devnet.sim.world import run_seed
from dst.qbft import inputs
from dst.spec.primitives import Round


def test_a_campaign_that_never_gets_there_says_so() -> None:
    counts = dict.fromkeys(CATALOGUE, 1)
    assert never_reached(counts) == []
    assert never_reached({**counts, "f+1 skip": 0}) == ["f+1 skip"]
    tally = Tally(n=4)
    assert set(tally.never_reached()) == CATALOGUE.keys() - TOO_RARE


def test_some_seeds_meet_most_of_what_the_cores_can_be_in() -> None:
    """And nothing that the catalogue does not name."""
    met: Counter[str] = Counter()
    for seed in range(12):
        met.update(run_seed(seed, 4).counts)
    known = CONSENSUS.keys() | SEALING.keys()
    assert len(known & met.keys()) > 0.6 * len(known)


def test_watching_changes_no_step_and_ends() -> None:
    step, seal = dst.qbft.step, dst.sealing.step
    met: list[str] = []
    config = qbft_config(4, 0)
    state = dst.qbft.restore(config, None, ())
    stale = inputs.RoundExpired(height=state.height, round=Round(5))
    with watching(met.append):
        assert dst.qbft.step(state, stale, config) == step(state, stale, config)
    assert (dst.qbft.step, dst.sealing.step) == (step, seal)
    assert met == ["stale timer ignored"]
