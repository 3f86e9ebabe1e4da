"""What a handful of runs says of all that might have been: quantiles with intervals, shares, and
whether one set is worse than another. Pure; nothing is assumed of how the values are distributed.

*Intervals* are those of order statistics: how many of n values lie below a quantile is binomial,
whatever the distribution, so two of the values themselves enclose it with at least the confidence
asked for. A bootstrap would be narrower at the ends and wrong there: it cannot know of a tail that
was not drawn. Where n is too small for an end, there is none.

*Worse* is a rank-sum (Mann-Whitney) test, one-sided, by permutation of the labels: exact where that
can be counted, else over a fixed number of drawn permutations.
"""

import math
import random
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, combinations
from typing import Final

import msgspec

CONFIDENCE: Final = 0.95
QUANTILES: Final = (0.5, 0.95, 0.99)
EXACT: Final = 20_000
"""Up to so many ways to deal the labels they are all counted."""
PERMUTATIONS: Final = 10_000


class Quantile(msgspec.Struct, frozen=True, kw_only=True):
    """value: nearest rank, one that was measured. low, high: ends of its interval; None: too few
    values for that end."""

    value: float
    low: float | None
    high: float | None


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    count: int
    p50: Quantile
    p95: Quantile
    p99: Quantile
    max: float


def statistics_of(values: Sequence[float]) -> Statistics | None:
    if not values:
        return None
    ordered = sorted(values)
    p50, p95, p99 = (quantile(ordered, q) for q in QUANTILES)
    return Statistics(count=len(ordered), p50=p50, p95=p95, p99=p99, max=ordered[-1])


def quantile(ordered: Sequence[float], q: float, confidence: float = CONFIDENCE) -> Quantile:
    n = len(ordered)
    tail = (1 - confidence) / 2
    below = _at_most(n, q)
    # The k-th value is at most the quantile when at least k values are: P(X >= k) is 1 - P(X < k).
    low = max((k for k in range(1, n + 1) if below[k - 1] <= tail), default=0)
    # It is at least the quantile when fewer than k values are below it.
    high = min((k for k in range(1, n + 1) if below[k - 1] >= 1 - tail), default=0)
    rank = max(1, math.ceil(n * q - 1e-9))
    return Quantile(
        value=ordered[rank - 1],
        low=ordered[low - 1] if low else None,
        high=ordered[high - 1] if high else None,
    )


def _at_most(n: int, p: float) -> list[float]:
    """P(X <= k) for k = 0..n, of n tries with chance p, 0 < p < 1. By logarithms: the coefficients
    of a thousand tries are beyond a float."""
    whole = math.lgamma(n + 1)
    terms = (
        math.exp(
            whole - math.lgamma(k + 1) - math.lgamma(n - k + 1)
            + k * math.log(p) + (n - k) * math.log1p(-p)
        )
        for k in range(n + 1)
    )  # fmt: skip
    return list(accumulate(terms))


def seldom_enough(exceeding: int, n: int, share: float, confidence: float = CONFIDENCE) -> bool:
    """Whether so few of n would be surprising if `share` of all exceeded: then fewer do."""
    return n > 0 and _at_most(n, share)[exceeding] <= 1 - confidence


def too_often(exceeding: int, n: int, share: float, confidence: float = CONFIDENCE) -> bool:
    """Whether so many of n would be surprising if `share` of all exceeded: then more do."""
    return exceeding > 0 and 1 - _at_most(n, share)[exceeding - 1] <= 1 - confidence


def runs_needed(share: float, exceeding: int = 0, confidence: float = CONFIDENCE) -> int:
    """Runs that show it when no more than these exceed."""
    enough = exceeding + 1
    while not seldom_enough(exceeding, enough, share, confidence):
        enough *= 2
    return bisect_left(
        range(enough),
        True,
        lo=exceeding,
        key=lambda n: seldom_enough(exceeding, n, share, confidence),
    )


def worse(before: Sequence[float], after: Sequence[float]) -> float:
    """How likely ranks of `after` as high as these would be if nothing had changed."""
    values = [*before, *after]
    ranks = _ranks(values)
    seen = math.fsum(ranks[len(before) :])
    ways = math.comb(len(values), len(after))
    if ways <= EXACT:
        dealt = [math.fsum(chosen) for chosen in combinations(ranks, len(after))]
        return sum(total >= seen - 1e-9 for total in dealt) / ways
    rng = random.Random("permutations")
    as_high = sum(
        math.fsum(rng.sample(ranks, len(after))) >= seen - 1e-9 for _ in range(PERMUTATIONS)
    )
    return (as_high + 1) / (PERMUTATIONS + 1)


def _ranks(values: Sequence[float]) -> list[float]:
    """Equal values share theirs."""
    ordered = sorted(values)
    first: dict[float, int] = {}
    for place, value in enumerate(ordered, 1):
        first.setdefault(value, place)
    return [first[value] + (ordered.count(value) - 1) / 2 for value in values]


def more_often(before: tuple[int, int], after: tuple[int, int]) -> float:
    """Fisher's exact test, one-sided: of (failed, runs) each, how likely so many failures would be
    among the later ones if nothing had changed."""
    failed, runs = before[0] + after[0], before[1] + after[1]
    most = min(failed, after[1])
    ways = sum(
        math.comb(after[1], k) * math.comb(before[1], failed - k)
        for k in range(after[0], most + 1)
        if failed - k <= before[1]
    )
    return ways / math.comb(runs, failed)


def holm(chances: Sequence[float]) -> list[float]:
    """Corrected for their number, so that many looks do not find what is not there."""
    order = sorted(range(len(chances)), key=lambda index: chances[index])
    corrected, highest = [0.0] * len(chances), 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, chances[index] * (len(chances) - place)))
        corrected[index] = highest
    return corrected
