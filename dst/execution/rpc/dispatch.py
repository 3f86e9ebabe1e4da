"""The table of JSON-RPC methods: a family is a class whose methods carry `@rpc`, and the table is
what callers dispatch on and what `docs/json-rpc.md` is generated from.

A method says where it runs: on the event loop (a coroutine, short), on the reading thread (the
store), on an EVM worker (calls and traces, bounded by time) or on a search worker
(logs, bounded alike). Positional parameters are matched
to its signature; each is the decoded JSON value, checked by the method itself.

In a batch, neighbours that read the store share a hop to the reading thread, and a method marked
`together` answers several requests at once: a hop costs more than most answers.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Final, TypeVar

from dst.apis.jsonrpc import Job, Joint, Method, Outcome, Runner
from dst.spec.errors import InvalidInput

HOLD_S: Final = 0.004
"""One client's share of the reading thread at a time; what a batch asks beyond it queues again."""

_SPEC: Final = "__rpc_spec__"
F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Where(StrEnum):
    LOOP = "loop"
    READ = "read"
    CALL = "call"
    SEARCH = "search"


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodSpec:
    """One method as its page shows it; the summary is the docstring's first paragraph."""

    name: str
    where: Where
    errors: tuple[str, ...] = ()
    """Each as "code: when"."""
    limits: tuple[str, ...] = ()
    together: bool = False
    """Of the event loop: answers neighbours in a batch at once. It takes, for each parameter, what
    the requests say in their order, and returns their outcomes; one alone is a batch of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threads:
    """Where blocking work runs: `read` for the store, `call` for the EVM, `search` for logs (the
    call workers where there is no other)."""

    read: Executor
    call: Executor
    search: Executor | None = None

    async def on_read(self, run: Callable[..., T], *args: Any, **named: Any) -> T:
        """For a method of the event loop that needs the store on its way."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.read, partial(run, *args, **named))

    async def on_search(self, run: Callable[..., T], *args: Any, **named: Any) -> T:
        """For a method of the event loop that searches logs on its way."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.search or self.call, partial(run, *args, **named))

    async def on_call(self, run: Callable[..., T], *args: Any, **named: Any) -> T:
        """For a method of the event loop that runs the EVM on its way."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.call, partial(run, *args, **named))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    spec: MethodSpec
    run: Callable[..., Any]
    family: type

    @property
    def parameters(self) -> tuple[inspect.Parameter, ...]:
        given = tuple(inspect.signature(self.run).parameters.values())
        return given[1:] if given and given[0].name == "self" else given

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.run) or "").split("\n\n")[0]


def rpc(
    name: str,
    *,
    where: Where = Where.READ,
    errors: Iterable[str] = (),
    limits: Iterable[str] = (),
    together: bool = False,
) -> Callable[[F], F]:
    """Mark a method of a family as the JSON-RPC method `name`; marks stack (aliases)."""

    def mark(function: F) -> F:
        specs: tuple[MethodSpec, ...] = getattr(function, _SPEC, ())
        spec = MethodSpec(
            name=name, where=where, errors=tuple(errors), limits=tuple(limits), together=together
        )
        setattr(function, _SPEC, (*specs, spec))
        return function

    return mark


def entries(families: Iterable[object]) -> dict[str, Entry]:
    """Every marked method of the families by its JSON-RPC name, sorted. A family may be given as
    its class, for who wants to read and not to call."""
    table: dict[str, Entry] = {}
    for family in families:
        of = family if isinstance(family, type) else type(family)
        for _, function in inspect.getmembers(family, callable):
            for spec in getattr(function, _SPEC, ()):
                assert spec.name not in table, f"two families serve {spec.name}"
                table[spec.name] = Entry(spec=spec, run=function, family=of)
    return dict(sorted(table.items()))


def bind(table: Mapping[str, Entry], threads: Threads) -> dict[str, Method]:
    """The table as `dst.apis.jsonrpc` calls it."""
    reading = _reading(threads.read)
    return {name: _bind(entry, threads, reading) for name, entry in table.items()}


def _together(run: Callable[..., Awaitable[Sequence[Outcome]]]) -> Runner[list[Any]]:
    async def run_some(jobs: Sequence[list[Any]]) -> Sequence[Outcome]:
        try:
            return await run(*zip(*jobs, strict=True))
        except Exception as error:
            return [error] * len(jobs)

    return run_some


def _reading(executor: Executor) -> Runner[Job]:
    def work(jobs: Sequence[Job]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        end = time.monotonic() + HOLD_S
        for job in jobs:
            try:
                outcomes.append(job())
            except Exception as error:
                outcomes.append(error)
            if time.monotonic() > end:
                break
        return outcomes

    async def run_some(jobs: Sequence[Job]) -> Sequence[Outcome]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(executor, work, jobs)

    return run_some


def _bind(entry: Entry, threads: Threads, reading: Runner[Job]) -> Method:
    parameters = entry.parameters
    required = sum(each.default is inspect.Parameter.empty for each in parameters)
    run = entry.run

    def spread(params: Sequence[Any]) -> list[Any]:
        """Raises: InvalidInput for a wrong count; trailing nulls are as good as left out."""
        given = list(params)
        while len(given) > required and given and given[-1] is None:
            given.pop()
        if not required <= len(given) <= len(parameters):
            span = str(required) if required == len(parameters) else f"{required} to"
            wanted = span if required == len(parameters) else f"{span} {len(parameters)}"
            raise InvalidInput(f"expected {wanted} parameters, got {len(given)}")
        return given

    def job(params: Sequence[Any]) -> Job:
        return partial(run, *spread(params))

    if entry.spec.where is Where.READ:
        return Joint(reading, job)
    if entry.spec.together:
        assert required == len(parameters), "what may be left out is no column"
        return Joint(_together(run), spread)
    if entry.spec.where is Where.LOOP:

        async def on_loop(params: Sequence[Any]) -> object:
            return await run(*spread(params))

        return on_loop

    executor = threads.call
    if entry.spec.where is Where.SEARCH and threads.search is not None:
        executor = threads.search

    async def on_call(params: Sequence[Any]) -> object:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(executor, run, *spread(params))

    return on_call
