"""`docs/checkers.md` is what the code says, and leaves no checker out."""

from devnet.checkers import live_checkers, must_fail
from devnet.checkers.honest import Believed
from tests.unit.checkers import page


def test_the_page_is_up_to_date() -> None:
    told = "docs/checkers.md is old: python -m tests.unit.checkers.page --write"
    assert page.PAGE.read_text() == page.page(), told


def test_every_checker_has_an_invariant_and_the_other_way_round() -> None:
    by = {
        each for names in page.INVARIANTS.values() if not isinstance(names, str) for each in names
    }
    known = {name for name, module in page.modules() if module.NAME in must_fail.CHECKERS}
    assert known <= by
    assert by - known == {"standstill", "no_round_change"}


def test_those_named_live_are_live() -> None:
    modules = {
        type(each._checker if isinstance(each, Believed) else each).__module__
        for each in live_checkers()
    }
    assert modules == {f"devnet.checkers.{name}" for name in page.LIVE}
