from dst.runtime.allowance import Allowance


def test_so_many_at_once_and_then_one_in_its_time() -> None:
    allowance = Allowance(at_once=3, every_s=0.5)
    assert [allowance.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not allowance.take(100.25)
    assert allowance.take(100.5)
    assert not allowance.take(100.5)


def test_what_is_saved_is_no_more_than_may_come_at_once() -> None:
    allowance = Allowance(at_once=2, every_s=0.5)
    assert allowance.take(0.0)
    assert [allowance.take(1000.0) for _ in range(3)] == [True, True, False]


def test_a_clock_that_is_set_back_brings_nothing_and_takes_nothing() -> None:
    allowance = Allowance(at_once=1, every_s=1.0)
    assert allowance.take(100.0)
    assert not allowance.take(50.0)
    assert allowance.take(51.0)
