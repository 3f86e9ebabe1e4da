"""How this program's calls of another one fare, told as metrics by whom it calls (`to`, host and
port):

dst_calls_answered_total, dst_calls_unanswered_total: an error is an answer; no connection, an end
in the middle and a time-out are none. Who is cancelled has not waited for one.
dst_call_seconds: the quickest of the last few answers.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import aiohttp

from dst.runtime.metrics import Metrics


class Calls:
    """Of one other program."""

    def __init__(self, url: str) -> None:
        there = urlsplit(url)
        self._to = f"{there.hostname}:{there.port}"  # not what else a URL holds: keys of an L1's
        self._metrics: Metrics | None = None

    def count_in(self, metrics: Metrics) -> None:
        """From now on."""
        self._metrics = metrics

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Around one call, and the transport's own errors."""
        started = time.monotonic()
        try:
            yield
        except (aiohttp.ClientError, OSError, TimeoutError):
            if self._metrics is not None:
                self._metrics.inc("calls_unanswered_total", to=self._to)
            raise
        except Exception:
            self._answered(time.monotonic() - started)
            raise
        self._answered(time.monotonic() - started)

    def _answered(self, seconds: float) -> None:
        if self._metrics is not None:
            self._metrics.inc("calls_answered_total", to=self._to)
            self._metrics.quickest("call_seconds", seconds, to=self._to)
