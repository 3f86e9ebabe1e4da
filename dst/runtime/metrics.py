"""Counters, gauges and plain sums, printed as Prometheus text by `GET /metrics`."""

from collections import deque
from collections.abc import Callable
from typing import Final

PREFIX: Final = "dst_"
RECENT: Final = 4

_Labels = tuple[tuple[str, str], ...]


class Metrics:
    """One registry a process role; names are snake_case without prefix, counters end
    in `_total`."""

    def __init__(self) -> None:
        self._values: dict[str, dict[_Labels, float]] = {}
        self._recent: dict[tuple[str, _Labels], deque[float]] = {}
        self._functions: dict[str, Callable[[], float]] = {}

    def inc(self, name: str, amount: float = 1, **labels: str) -> None:
        series = self._values.setdefault(name, {})
        key = tuple(sorted(labels.items()))
        series[key] = series.get(key, 0) + amount

    def set(self, name: str, value: float, **labels: str) -> None:
        self._values.setdefault(name, {})[tuple(sorted(labels.items()))] = value

    def quickest(self, name: str, seconds: float, **labels: str) -> None:
        """A gauge of the shortest of the last few durations: what a path takes, without what a busy
        machine adds to one."""
        key = name, tuple(sorted(labels.items()))
        recent = self._recent.setdefault(key, deque(maxlen=RECENT))
        recent.append(seconds)
        self.set(name, min(recent), **labels)

    def drop(self, name: str, **labels: str) -> None:
        """A gauge that has no value any more."""
        key = tuple(sorted(labels.items()))
        self._values.get(name, {}).pop(key, None)
        self._recent.pop((name, key), None)

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Record a duration as `name_seconds_sum` and `name_seconds_count`."""
        self.inc(f"{name}_seconds_sum", seconds, **labels)
        self.inc(f"{name}_seconds_count", 1, **labels)

    def function(self, name: str, read: Callable[[], float]) -> None:
        """A gauge read when somebody asks."""
        self._functions[name] = read

    def get(self, name: str, **labels: str) -> float:
        return self._values.get(name, {}).get(tuple(sorted(labels.items())), 0)

    def render(self) -> str:
        lines = [f"{PREFIX}{name} {read():g}" for name, read in sorted(self._functions.items())]
        for name, series in sorted(self._values.items()):
            for labels, value in sorted(series.items()):
                shown = ",".join(f'{key}="{_escape(text)}"' for key, text in labels)
                lines.append(
                    f"{PREFIX}{name}{{{shown}}} {value!r}" if shown else f"{PREFIX}{name} {value!r}"
                )
        return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
