"""The four-round attack that made two group signatures at one height (ADR 3)."""

from devnet.sim.two_signatures import play


def test_signing_after_decision_yields_one() -> None:
    stage = play(share_at_prepared=False)
    decided = {actor.decided for actor in stage.actors.values()}
    assert stage.violations == []
    assert len(decided) == 1
    assert None not in decided
    assert stage.group_signed == decided


def test_signing_with_commit_without_the_round_would_yield_two() -> None:
    """The same schedule against the design not taken: the test above can fail."""
    stage = play(share_at_prepared=True)
    assert len(stage.group_signed) == 2
    assert "S2 one group signature" in {breach.checker for breach in stage.violations}
    assert len({actor.decided for actor in stage.actors.values()}) == 1, "QBFT itself agrees"
