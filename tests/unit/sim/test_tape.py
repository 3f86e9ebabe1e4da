"""What is absent from a tape is benign, and a choice is filed under who draws it."""

from random import Random

from devnet.sim.params import Params
from devnet.sim.tape import Book, Choices, chance, longest, moments, step, stream, unusual


class Somebody:
    def __init__(self, rng: Random) -> None:
        self.rng = rng

    def acts(self) -> int:
        return self.rng.randrange(9)

    def acts_in_many_ways(self) -> list[object]:
        every = [self.rng.randrange(5, 9) for _ in range(2)]
        return [*every, drawn(self.rng), self.rng.choice("abc"), chance(self.rng, 1.0)]


def drawn(rng: Random) -> float:
    return rng.random()


def test_what_is_absent_is_benign() -> None:
    rng = Choices(Book())
    assert not chance(rng, 0.999_999)
    assert not rng.random() < 0.999_999
    assert rng.randrange(7, 70, 7) == rng.randint(7, 70) == 7
    assert rng.choice("abc") == "a"
    assert rng.sample(range(4), 4)[0] == 0
    assert sorted(rng.sample(range(4), 4)) == [0, 1, 2, 3]
    assert rng.randbytes(3) == bytes(3)
    assert longest(rng, 1, 70) == 69
    assert moments(rng, "flap", 10, 1000) == []
    assert rng.book.taken == {}


def test_from_a_source_it_draws_what_the_source_would() -> None:
    def all_of(rng: Random) -> list[object]:
        shuffled = list(range(9))
        rng.shuffle(shuffled)
        return [
            rng.random(),
            chance(rng, 0.5),
            rng.randrange(3, 1000, 7),
            rng.randint(1, 10**30),
            rng.choice("abcdef"),
            rng.sample(range(100), 40),
            rng.randbytes(20),
            rng.uniform(1, 2),
            longest(rng, 1, 1000),
            moments(rng, "flap", 100, 1000),
            shuffled,
        ]

    for seed in range(5):
        book = Book()
        expected = all_of(Random(seed))
        assert all_of(Choices(book, Random(seed))) == expected
        assert all_of(Choices(Book(book.taken))) == expected, "and its tape again"


def test_a_choice_is_filed_under_who_draws_where_and_what() -> None:
    book = Book()
    somebody = Somebody(stream(Choices(book, Random(1)), "op2"))
    somebody.acts_in_many_ways()
    somebody.acts()
    with step(somebody.rng, "flap 3"):
        somebody.acts()
        somebody.acts()
    assert set(book.taken) == {
        "op2 Somebody.acts_in_many_ways below",
        "op2 Somebody.acts_in_many_ways random",
        "op2 Somebody.acts_in_many_ways chance",
        "op2 Somebody.acts below",
        "flap 3 Somebody.acts below",
    }


def test_choices_out_of_range_wrap() -> None:
    book = Book({"op1 Somebody.acts below": {0: 1_000_003, 2: 4}})
    somebody = Somebody(Choices(book, None, "op1"))
    assert [somebody.acts() for _ in range(4)] == [1_000_003 % 9, 0, 4, 0]


def test_every_parameter_has_a_benign_value() -> None:
    assert unusual(Params(n=4)) == {}
    assert unusual(Params(n=4, loss_rate=0.1, latency_us=(1, 2))) == {
        "loss_rate": 0.1,
        "latency_us": [1, 2],
    }
