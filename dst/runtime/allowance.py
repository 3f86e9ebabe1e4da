"""How often others may cause something: so many at once, and from then on so many a second."""


class Allowance:
    """A token bucket, full at first. Times are seconds of one clock, the caller's."""

    __slots__ = ("_at_once", "_every_s", "_left", "_then")

    def __init__(self, *, at_once: int, every_s: float) -> None:
        self._at_once, self._every_s = at_once, every_s
        self._left, self._then = float(at_once), 0.0

    def take(self, now: float) -> bool:
        """Once more, which is then spent; False when it is too often."""
        passed_s = max(0.0, now - self._then)  # a wall clock may be set back
        self._left = min(self._left + passed_s / self._every_s, self._at_once)
        self._then = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
