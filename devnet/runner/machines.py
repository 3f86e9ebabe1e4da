"""How programs find their machine: `Machines` over the files that they read it from, proven by what
they say themselves."""

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import aiohttp
import msgspec

from devnet.faults.surface import CannotInject
from devnet.model.topology import Topology
from devnet.model.whole import write_whole
from devnet.network.programs import MACHINE_FILE, MACHINE_FOLDER
from devnet.probes.health import probe_url, read_metrics, read_waits
from dst.spec.drills import AS_IT_IS, CLOCK_METRIC, FLUSH_METRIC, Machine

ROUNDING_S: Final = 0.01
"""Of a clock that is told; and a right one would be as far off as the answer took."""
NO_ROOM: Final = b" disk_full_not_signing "
AGAIN: Final = b" disk_takes_writes_again "
STARTED: Final = b" validator ready "
"""What a validator logs: that it waits for room, that there is some, and that it is new."""
MAX_WORDS: Final = 4 << 20
"""Of its log: hours of a validator that waits."""
ROOM: Final = "room on the disk"
"""What a role says that it waits for on a full one."""

_Look: TypeAlias = Callable[[str], Awaitable[str | None]]
"""Program -> what is wrong; empty: nothing; None: it does not answer."""


class LiveMachines:
    def __init__(self, directory: Path, topology: Topology, session: aiohttp.ClientSession) -> None:
        self._directory, self._topology, self._session = directory, topology, session
        self._heeds: set[str] = set()
        """Programs that told a clock as it was set, once: these heed their file."""
        self._flushed: dict[str, float | None] = {}
        """How long the last flush took before another speed was asked for."""

    async def change(self, programs: Sequence[str], **fields: float | bool) -> None:
        if "flush_s" in fields:
            for name in programs:
                self._flushed[name] = await self._metric(name, FLUSH_METRIC)
        try:
            for name in programs:
                machine = msgspec.structs.replace(self._read(name), **fields)
                self._write(name, machine)
        except (OSError, msgspec.DecodeError) as error:
            raise CannotInject(f"machine of {name}: {error}") from error

    async def not_telling(self, programs: Sequence[str], *, ahead_s: float, drift: float) -> str:
        for name in programs:
            machine = self._read(name)
            if (machine.ahead_s, machine.drift) != (ahead_s, drift):
                return f"the machine of {name} was set otherwise"
        wrong = await self._wrong(programs, self._clock_wrong)
        if wrong or (ahead_s, drift) == (0.0, 0.0):
            return wrong
        unheard = [n for n in programs if probe_url(self._topology, n) and n not in self._heeds]
        return f"no answer from {', '.join(unheard)}" if unheard else ""

    async def not_slow(self, programs: Sequence[str], flush_s: float) -> str:
        async def wrong(name: str) -> str | None:
            took = await self._metric(name, FLUSH_METRIC)
            if took is None or (took >= flush_s and took != self._flushed.get(name)):
                return None if took is None else ""
            return f"the last flush of {name} took {took:.3f} s"

        return await self._wrong(programs, wrong)

    async def not_quick(self, programs: Sequence[str], flush_s: float) -> str:
        async def wrong(name: str) -> str | None:
            took = await self._metric(name, FLUSH_METRIC)
            if took is None or took < flush_s:
                return None if took is None else ""
            return f"the last flush of {name} took {took:.3f} s"

        return await self._wrong(programs, wrong)

    async def not_full(self, programs: Sequence[str]) -> str:
        return ", ".join([f"{n} waits for no room" for n in programs if not await self._waits(n)])

    async def not_roomy(self, programs: Sequence[str]) -> str:
        told = [f"{name} waits for room" for name in programs if await self._waits(name)]
        if told or not any(probe_url(self._topology, name) for name in programs):
            return ", ".join(told)
        return await self._wrong(programs, self._silent)

    def left(self) -> dict[str, str]:
        """Program -> what was done to its machine and not taken back."""
        files = self._directory.glob(f"nodes/*/*/{MACHINE_FOLDER}/{MACHINE_FILE}")
        return {".".join(file.parts[-4:-2]): _told(file) for file in sorted(files)}

    # -------------------------------------------------------------------- what they say

    async def _wrong(self, programs: Sequence[str], look: _Look) -> str:
        """Who does not answer tells nothing: another fault may stand there. One must."""
        asked = [name for name in programs if probe_url(self._topology, name)]
        found = await asyncio.gather(*(look(name) for name in asked))
        if all(complaint is None for complaint in found):
            return f"no answer from {', '.join(asked)}"
        return ", ".join(complaint for complaint in found if complaint)

    async def _silent(self, name: str) -> str | None:
        return None if await self._metric(name, CLOCK_METRIC) is None else ""

    async def _clock_wrong(self, name: str) -> str | None:
        machine, asked = self._read(name), time.time()
        told = await self._metric(name, CLOCK_METRIC)
        if told is None:
            return None
        answered = time.time()
        low, high = machine.clock(asked) - ROUNDING_S, machine.clock(answered) + ROUNDING_S
        if low <= told <= high:
            if (machine.ahead_s, machine.drift) == (0.0, 0.0):
                return ""
            if asked - ROUNDING_S <= told <= answered + ROUNDING_S:
                return f"the clock of {name} cannot be told from a right one"
            self._heeds.add(name)
            return ""
        return f"the clock of {name} is {told - asked:+.2f} s off, not as set"

    async def _metric(self, name: str, metric: str) -> float | None:
        text = await read_metrics(self._session, f"{probe_url(self._topology, name)}/metrics")
        found = re.search(rf"^{metric} ([0-9.eE+-]+)$", text or "", re.MULTILINE)
        return None if found is None else float(found[1])

    async def _waits(self, name: str) -> bool:
        if (url := probe_url(self._topology, name)) is None:
            return self._logged(name)
        waits = await read_waits(self._session, f"{url}/healthz")
        return any(ROOM in text for text in waits or ())

    def _logged(self, name: str) -> bool:
        """By the latest word in the log of a program that listens nowhere."""
        try:
            with (self._directory / "logs" / f"{name}.log").open("rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - MAX_WORDS))
                words = log.read(MAX_WORDS)
        except FileNotFoundError:
            return False
        return words.rfind(NO_ROOM) > max(words.rfind(AGAIN), words.rfind(STARTED))

    # ---------------------------------------------------------------------- the files

    def _file(self, name: str) -> Path:
        node, _, role = name.partition(".")
        return self._directory / "nodes" / node / role / MACHINE_FOLDER / MACHINE_FILE

    def _read(self, name: str) -> Machine:
        try:
            return msgspec.json.decode(self._file(name).read_bytes(), type=Machine)
        except FileNotFoundError:
            return AS_IT_IS

    def _write(self, name: str, machine: Machine) -> None:
        """It is read at any moment."""
        file = self._file(name)
        if machine == AS_IT_IS:
            file.unlink(missing_ok=True)
            return
        write_whole(file, msgspec.json.encode(machine))


def _told(file: Path) -> str:
    """`full, ahead_s=3.0`."""
    try:
        machine = msgspec.to_builtins(msgspec.json.decode(file.read_bytes(), type=Machine))
    except (OSError, msgspec.DecodeError) as error:
        return f"machine file: {error}"
    usual = msgspec.to_builtins(AS_IT_IS)
    changed = [f"{key}={value}" for key, value in machine.items() if value != usual[key]]
    return f"another machine ({', '.join(changed)})"
