"""What happens in the execution layer, told to whoever listens: a moved head, a transaction that
the pool took.

One source for subscriptions, filters and those who wait for a receipt. Listeners run on the event
loop, in the order they came, and must not block; what they do at length they queue.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeAlias, TypeVar

from dst.execution.chain import HeadChange
from dst.transactions.transaction import Transaction

T = TypeVar("T")
Listener: TypeAlias = Callable[[T], None]


class Source(Generic[T]):
    """One kind of event."""

    def __init__(self) -> None:
        self._listeners: dict[object, Listener[T]] = {}

    def __call__(self, event: T) -> None:
        """Tell all listeners."""
        for listener in tuple(self._listeners.values()):
            listener(event)

    def add(self, listener: Listener[T]) -> Callable[[], None]:
        """Listen until the returned function is called."""
        key = object()
        self._listeners[key] = listener

        def remove() -> None:
            self._listeners.pop(key, None)

        return remove

    @contextmanager
    def listening(self, listener: Listener[T]) -> Iterator[None]:
        """Listen for the time of the block."""
        remove = self.add(listener)
        try:
            yield
        finally:
            remove()


class Events:
    def __init__(self) -> None:
        self.heads: Source[HeadChange] = Source()
        """The canonical chain changed; a change that moved only safe or finalized is not told."""
        self.transactions: Source[Transaction] = Source()
        """The pool took a transaction."""

    def on_head(self, change: HeadChange) -> None:
        if change.added or change.removed:
            self.heads(change)
