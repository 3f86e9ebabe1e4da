"""What a handful of runs says of all that might have been: quantiles with intervals, shares, and
whether one set is worse than another. Pure; nothing is assumed of how the values are distributed.

*Intervals* are those of order statistics: how many of n values lie below a quantile is binomial,
whatever the distribution, so two of the values themselves enclose it with at least the confidence
asked for. A bootstrap would be narrower at the ends and wrong there: it cannot know of a tail that
was not drawn. Where n is too small for an end, there is none.

*Infinite* is a value of which no more is known than that it is higher than what was waited for
(censored). It has a rank, and no number.

*Networks*: values of one network may be alike because of it. Where several values share one, each
network counts as one word, however many values it gave: exact when they are all alike, cautious
when they are not.

*Worse* is a rank-sum (Mann-Whitney) test, one-sided: over all ways to deal the labels where those
can be counted, else by the normal approximation, corrected for ties and continuity.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

import msgspec

CONFIDENCE: Final = 0.95
QUANTILES: Final = (0.5, 0.95, 0.99)
EXACT_BITS: Final = 2 * 10**8
"""Work for counting the ways to deal labels, some ten milliseconds: thirty values a side, or as
many as one likes of a few kinds. With more, the normal approximation is close."""
_ROUNDING: Final = 1e-9


class Quantile(msgspec.Struct, frozen=True, kw_only=True):
    """value: nearest rank, one that was measured; None: infinite. low, high: ends of its interval;
    None: too few values for that end, or infinite."""

    value: float | None
    low: float | None
    high: float | None


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """censored: of `count`, how many are infinite. max: None when there is one."""

    count: int
    censored: int = 0
    p50: Quantile
    p95: Quantile
    p99: Quantile
    max: float | None


def statistics_of(values: Sequence[float], networks: int | None = None) -> Statistics | None:
    """networks: on which they were measured; None: each on its own."""
    if not values:
        return None
    ordered = sorted(values)
    p50, p95, p99 = (quantile(ordered, q, networks=networks) for q in QUANTILES)
    return Statistics(
        count=len(ordered),
        censored=sum(map(math.isinf, ordered)),
        p50=p50,
        p95=p95,
        p99=p99,
        max=_number(ordered[-1]),
    )


def quantile(
    ordered: Sequence[float],
    q: float,
    confidence: float = CONFIDENCE,
    networks: int | None = None,
) -> Quantile:
    n = len(ordered)
    words = n if networks is None else networks
    tail = (1 - confidence) / 2
    below = _at_most(words, q)
    # The k-th value is at most the quantile when at least k values are: P(X >= k) is 1 - P(X < k).
    low = max((k for k in range(1, words + 1) if below[k - 1] <= tail), default=0)
    # It is at least the quantile when fewer than k values are below it.
    high = min((k for k in range(1, words + 1) if below[k - 1] >= 1 - tail), default=0)
    rank = max(1, math.ceil(n * q - _ROUNDING))
    return Quantile(
        value=_number(ordered[rank - 1]),
        low=_number(ordered[(low - 1) * n // words]) if low else None,
        high=_number(ordered[-(-high * n // words) - 1]) if high else None,
    )


def _number(value: float) -> float | None:
    return None if math.isinf(value) else value


def censored_quantile(ended: Sequence[float], waiting: Sequence[float], q: float) -> float | None:
    """Nearest rank among waits of which some had not ended when the watch did (Kaplan-Meier): such
    a one counts among those that may yet end for as long as it was seen to wait. None: more waits
    were seen to go on than the quantile leaves above itself."""
    left, lasting = len(ended) + len(waiting), 1.0
    seen = [(value, False) for value in ended] + [(value, True) for value in waiting]
    for value, goes_on in sorted(seen):
        if not goes_on:
            lasting *= 1 - 1 / left
            if lasting <= 1 - q + _ROUNDING:
                return value
        left -= 1
    return None


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


def seldom_enough(exceeding: float, n: int, share: float, confidence: float = CONFIDENCE) -> bool:
    """Whether so few of n would be surprising if `share` of all exceeded: then fewer do. A part of
    one is one."""
    seen = math.ceil(exceeding - _ROUNDING)
    return n > 0 and _at_most(n, share)[seen] <= 1 - confidence


def chance_of_so_many(exceeding: float, n: int, share: float) -> float:
    """If `share` of all exceeded. A part of one is none."""
    seen = math.floor(exceeding + _ROUNDING)
    return 1.0 if seen == 0 else max(0.0, 1 - _at_most(n, share)[seen - 1])


def too_often(exceeding: float, n: int, share: float, confidence: float = CONFIDENCE) -> bool:
    """Whether so many of n would be surprising if `share` of all exceeded: then more do."""
    return chance_of_so_many(exceeding, n, share) <= 1 - confidence


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
    ranks = _ranks([*before, *after])
    n, k = len(ranks), len(after)
    seen = sum(ranks[len(before) :])
    bits = math.comb(n, k).bit_length() * sum(sorted(ranks)[-k:])
    return (_counted if n * k * bits <= EXACT_BITS else _approximated)(ranks, k, seen)


def least_chance(before: int, after: int) -> float:
    """That `worse` and `more_often` can find between so many values: of the one way to deal the
    labels in which all the later ones are the highest."""
    return 1 / math.comb(before + after, after)


def _counted(ranks: Sequence[int], k: int, seen: int) -> float:
    """The share of all ways to choose k of the ranks in which their sum is as high.

    Bits of one large number count the ways: in ways[j], those from `wide` times s on, how many
    choices of j ranks have the sum s. Adding a rank to them all is a shift.
    """
    total = math.comb(len(ranks), k)
    wide = total.bit_length() + 1
    ways = [1] + [0] * k
    for rank in ranks:
        for j in range(k, 0, -1):
            ways[j] += ways[j - 1] << (rank * wide)
    # A number is the sum of its digits modulo base - 1, and these add up to no more than `total`.
    return (ways[k] >> (seen * wide)) % ((1 << wide) - 1) / total


def _approximated(ranks: Sequence[int], k: int, seen: int) -> float:
    n = len(ranks)
    middle = sum(ranks) / n
    spread = sum((rank - middle) ** 2 for rank in ranks) / n
    deviation = math.sqrt(k * (n - k) / (n - 1) * spread)
    if deviation == 0:
        return 1.0
    return 0.5 * math.erfc((seen - 0.5 - k * middle) / deviation / math.sqrt(2))


def _ranks(values: Sequence[float]) -> list[int]:
    """Whole numbers in the proportions of the ranks, the lowest 0; equal values share theirs."""
    times, rank, first = Counter(values), {}, 1
    for value in sorted(times):
        rank[value] = 2 * first + times[value] - 1
        first += times[value]
    lowest = min(rank.values())
    step = math.gcd(*(found - lowest for found in rank.values())) or 1
    return [(rank[value] - lowest) // step for value in values]


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
