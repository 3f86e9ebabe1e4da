"""The process backend with tiny programs: start, kill, freeze, crash, tear-down, and nothing
left."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from devnet.backends.base import NOTHING_EXTRA, BackendError, Extra, Program, RanOn, RunState
from devnet.backends.docker import told_exit
from devnet.backends.process import ProcessBackend
from devnet.backends.processes import ProcessId, read_pid_file, state_of, told_end
from devnet.faults import surface
from devnet.model.topology import compute_topology
from devnet.network.control import RemoteBackend, serve_control
from devnet.runner.surroundings import LivePrograms

FOREVER = "import signal; print('ready', flush=True); signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
CHILD = (
    "import subprocess, sys; "
    "subprocess.run([sys.executable, '-c', 'import signal; signal.pause()'])"
)

Crashes = list[tuple[str, str]]


def program(name: str, code: str, *, first: tuple[str, ...] = ()) -> Program:
    return Program(
        name=name,
        command="python",
        arguments=("-c", code),
        first_arguments=first,
        writes=(f"nodes/{name}",),
    )


@pytest.fixture
def crashes() -> Crashes:
    return []


@pytest.fixture
async def make(tmp_path: Path, crashes: Crashes) -> AsyncIterator[Callable[..., ProcessBackend]]:
    for folder in ("logs", "run"):
        (tmp_path / folder).mkdir()
    made: list[ProcessBackend] = []

    def build(*programs: Program) -> ProcessBackend:
        backend = ProcessBackend(
            directory=tmp_path,
            programs={p.name: p for p in programs},
            executables={"python": Path(sys.executable)},
            source=Path.cwd(),
            on_crash=lambda name, detail: crashes.append((name, detail)),
        )
        made.append(backend)
        return backend

    yield build
    for backend in made:
        await backend.close()


async def test_two_starts_at_once_make_one_program_and_a_kill_waits_for_them(
    make: Callable[..., ProcessBackend], tmp_path: Path
) -> None:
    (tmp_path / "pids").touch()
    note = f"import os; open({str(tmp_path / 'pids')!r}, 'a').write(f'{{os.getpid()}} '); "
    backend = make(program("a.b", note + FOREVER))
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(backend.start(["a.b"]))
        await asyncio.sleep(0)
        tasks.create_task(backend.kill(["a.b"]))
    assert (await backend.status())["a.b"].state is RunState.KILLED
    assert not (tmp_path / "run" / "a.b.pid").exists()
    await asyncio.gather(backend.start(["a.b"]), backend.start(["a.b"]))
    pid = pid_of(tmp_path, "a.b")
    await eventually(lambda: str(pid) in (tmp_path / "pids").read_text().split())
    others = set((tmp_path / "pids").read_text().split()) - {str(pid)}
    assert not any(state_of(int(other)) for other in others)


async def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not check():
        assert time.monotonic() < deadline, "condition did not come"
        await asyncio.sleep(0.01)


def pid_of(folder: Path, name: str) -> int:
    process = read_pid_file(folder / "run" / f"{name}.pid")
    assert process is not None
    return process.pid


async def test_start_is_idempotent_and_logs_to_the_file(
    make: Callable[..., ProcessBackend], tmp_path: Path
) -> None:
    backend = make(program("op1.rollup", FOREVER))
    await backend.start(["op1.rollup"])
    pid = pid_of(tmp_path, "op1.rollup")
    await backend.start(["op1.rollup"])
    assert pid_of(tmp_path, "op1.rollup") == pid
    await eventually(lambda: "ready" in (tmp_path / "logs" / "op1.rollup.log").read_text())


async def test_kill_ends_the_program_with_its_children_and_is_no_crash(
    make: Callable[..., ProcessBackend], tmp_path: Path, crashes: Crashes
) -> None:
    backend = make(program("op1.rollup", CHILD))
    await backend.start(["op1.rollup"])
    pid = pid_of(tmp_path, "op1.rollup")
    children = Path(f"/proc/{pid}/task/{pid}/children")
    await eventually(lambda: bool(children.read_text().split()))
    child = ProcessId.of(int(children.read_text().split()[0]))  # noqa: ASYNC240
    await backend.kill(["op1.rollup"])
    assert child is not None
    await eventually(lambda: not child.is_alive())
    assert (await backend.status())["op1.rollup"].state is RunState.KILLED
    assert crashes == []
    assert list((tmp_path / "run").glob("*.pid")) == []


async def test_freeze_is_the_kernels_word_and_a_frozen_program_dies_too(
    make: Callable[..., ProcessBackend], tmp_path: Path
) -> None:
    backend = make(program("op1.rollup", FOREVER))
    await backend.start(["op1.rollup"])
    pid = pid_of(tmp_path, "op1.rollup")
    await backend.pause(["op1.rollup"])
    assert state_of(pid) == "T"
    assert (await backend.status())["op1.rollup"].state is RunState.PAUSED
    await backend.resume(["op1.rollup"])
    assert state_of(pid) != "T"
    await backend.pause(["op1.rollup"])
    await backend.kill(["op1.rollup"])
    assert ProcessId.of(pid) is None


async def test_who_outlives_sigterm_is_named_in_another_process_too(
    make: Callable[..., ProcessBackend], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devnet.backends.process.STOP_TIMEOUT_S", 0.3)
    ready = STUBBORN.replace("signal.pause", "print('ready', flush=True); signal.pause")
    backend = make(program("op1.rollup", ready), program("op1.execution", FOREVER))
    await backend.start(["op1.rollup", "op1.execution"])
    for name in ("op1.rollup", "op1.execution"):
        log = tmp_path / "logs" / f"{name}.log"
        await eventually(lambda log=log: "ready" in log.read_text())  # type: ignore[misc]
    remote = RemoteBackend(tmp_path, "process")
    async with serve_control(tmp_path, backend), aiohttp.ClientSession() as session:
        with pytest.raises(RanOn) as caught:
            await remote.stop(["op1.rollup", "op1.execution"])
        assert caught.value.programs == ("op1.rollup",)
        topology = compute_topology(operators=4)
        programs = LivePrograms(remote, topology, session, tmp_path / "logs")
        with pytest.raises(surface.RanOn, match=r"op1.rollup runs on 10 s after SIGTERM") as told:
            await programs.stop(["op1.rollup"])
    assert (told.value.programs, told.value.seconds) == (("op1.rollup",), 10.0)


async def test_an_end_that_nobody_asked_for_is_a_crash(
    make: Callable[..., ProcessBackend], tmp_path: Path, crashes: Crashes
) -> None:
    before = time.monotonic()
    backend = make(program("op1.rollup", "raise SystemExit(7)"), program("op1.execution", FOREVER))
    await backend.start(["op1.rollup", "op1.execution"])
    await eventually(lambda: len(crashes) == 1)
    os.kill(pid_of(tmp_path, "op1.execution"), signal.SIGSEGV)
    await eventually(lambda: len(crashes) == 2)
    assert crashes == [("op1.rollup", "exit code 7"), ("op1.execution", "killed by SIGSEGV")]
    async with serve_control(tmp_path, backend):
        told = await RemoteBackend(tmp_path, "process").status()
    assert told == await backend.status()
    assert before < told["op1.rollup"].crashed_at < told["op1.execution"].crashed_at
    assert told["op1.execution"].crashed_at < time.monotonic()
    await backend.start(["op1.execution"])
    again = (await backend.status())["op1.execution"]
    assert again.state is RunState.RUNNING
    assert (again.crashes, again.last_crash) == (1, "killed by SIGSEGV"), "it is not forgotten"
    assert (await backend.status())["op1.rollup"].state is RunState.CRASHED


async def test_first_arguments_are_said_once(
    make: Callable[..., ProcessBackend], tmp_path: Path
) -> None:
    code = "import sys, signal; print(sys.argv[1:], flush=True); signal.pause()"
    backend = make(program("op1.validator", code, first=("--new",)))
    log = tmp_path / "logs" / "op1.validator.log"
    await backend.start(["op1.validator"])
    await eventually(lambda: log.exists() and "--new" in log.read_text())
    await backend.kill(["op1.validator"])
    await backend.start(["op1.validator"])
    await eventually(lambda: log.read_text() == "['--new']\n[]\n")


async def test_close_ends_also_what_ignores_sigterm(
    make: Callable[..., ProcessBackend], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devnet.backends.process.STOP_GRACE_S", 0.2)
    backend = make(program("op1.rollup", STUBBORN), program("op2.rollup", FOREVER))
    await backend.start(["op1.rollup", "op2.rollup"])
    pids = [pid_of(tmp_path, name) for name in ("op1.rollup", "op2.rollup")]
    await backend.pause(["op2.rollup"])
    await backend.close()
    assert [ProcessId.of(pid) for pid in pids] == [None, None]


async def test_unknown_names_are_refused(make: Callable[..., ProcessBackend]) -> None:
    backend = make(program("op1.rollup", FOREVER))
    for call in (backend.start, backend.kill, backend.pause, backend.resume):
        with pytest.raises(BackendError, match=r"no program 'op9\.rollup'"):
            await call(["op9.rollup"])


async def test_roles_do_not_inherit_the_callers_secrets(
    make: Callable[..., ProcessBackend], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "secret")
    backend = make(
        program("op1.rollup", "import os; print(sorted(os.environ), flush=True); input()")
    )
    await backend.start(["op1.rollup"])
    log = tmp_path / "logs" / "op1.rollup.log"
    await eventually(lambda: "PYTHONPATH" in log.read_text())
    assert "MY_TOKEN" not in log.read_text()


SAYS_HOW = """
import os, signal, sys
print(sys.argv[1:], os.environ.get("WHERE"), flush=True)
if "--end" in sys.argv:
    sys.exit(int(sys.argv[-1]))
signal.pause()
"""


async def test_what_is_extra_holds_for_one_start(
    make: Callable[..., ProcessBackend], tmp_path: Path
) -> None:
    """Also when another process asks for it."""
    name, log = "op1.rollup", tmp_path / "logs" / "op1.rollup.log"
    backend = make(program(name, SAYS_HOW))
    extra = Extra(flags=("--rejoin",), environment=(("WHERE", "here"),))
    async with serve_control(tmp_path, backend):
        for ask in (backend, RemoteBackend(tmp_path, "process")):
            for how in (extra, NOTHING_EXTRA):
                await ask.start([name], how)
                lines = 1 + len(log.read_text().splitlines())
                await eventually(lambda lines=lines: log.read_text().count("\n") >= lines)  # type: ignore[misc]
                await ask.kill([name])
    assert log.read_text().splitlines() == ["['--rejoin'] here", "[] None"] * 2
    assert backend.stood_in == set(), "more words make nobody else of it"


async def test_another_version_of_the_code_runs_for_one_start_or_always(
    make: Callable[..., ProcessBackend], tmp_path: Path
) -> None:
    """Also when another process asks for it."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "thing.py").write_text(f"NAME = {version!r}")
    prints = "import signal, thing; print(thing.NAME, flush=True); signal.pause()"
    usual = replace(program("op1.rollup", prints), tree=str(tmp_path / "one"))
    backend, log = make(usual), tmp_path / "logs" / "op1.rollup.log"
    extra = Extra(tree=str(tmp_path / "two"))
    async with serve_control(tmp_path, backend):
        remote = RemoteBackend(tmp_path, "process")
        for how, lines in ((NOTHING_EXTRA, 1), (extra, 2), (NOTHING_EXTRA, 3)):
            await remote.start(["op1.rollup"], how)
            await eventually(lambda lines=lines: log.read_text().count("\n") == lines)  # type: ignore[misc]
            assert (await remote.status())["op1.rollup"].extra == how.told
            await remote.kill(["op1.rollup"])
    assert log.read_text().split() == ["one", "two", "one"]
    assert extra.told == f"run from {tmp_path / 'two'}"


async def test_an_end_that_was_asked_for_is_no_crash_and_another_is(
    make: Callable[..., ProcessBackend], crashes: Crashes
) -> None:
    name = "op1.rollup"
    backend = make(program(name, SAYS_HOW))
    for code in ("86", "1"):
        await backend.start([name], Extra(flags=("--end", code), ends_with=86))
        await eventually(lambda: name not in backend._running)
        status = (await backend.status())[name]
        assert (status.state is RunState.KILLED) is (code == "86")
        assert status.detail == f"exit code {code}"
    assert crashes == [(name, "exit code 1")]


async def test_another_process_reaches_the_backend_over_the_socket(
    make: Callable[..., ProcessBackend], tmp_path: Path
) -> None:
    backend = make(program("op1.rollup", FOREVER))
    remote = RemoteBackend(tmp_path, "process")
    with pytest.raises(BackendError, match="does not answer"):
        await remote.start(["op1.rollup"])
    async with serve_control(tmp_path, backend):
        assert (tmp_path / "run" / "control.sock").stat().st_mode & 0o777 == 0o600
        await remote.start(["op1.rollup"])
        assert (await remote.status())["op1.rollup"].state is RunState.RUNNING
        await remote.pause(["op1.rollup"])
        assert (await remote.status())["op1.rollup"].state is RunState.PAUSED
        await remote.kill(["op1.rollup"])
        assert (await remote.status())["op1.rollup"].state is RunState.KILLED
        with pytest.raises(BackendError, match="no program"):
            await remote.kill(["nobody"])
        await remote.start(["op1.rollup"], Extra(flags=("more",)))
        assert (await remote.status())["op1.rollup"].extra == ""
        with pytest.raises(BackendError, match="runs already"):
            await remote.start(["op1.rollup"], Extra(flags=("other",)))
        await remote.start(["op1.rollup"])
        await remote.kill(["op1.rollup"])
        armed = Extra(environment=(("DST_CRASH_AT", "vote-after-send"),), ends_with=86)
        await remote.start(["op1.rollup"], armed)
        told = "started with DST_CRASH_AT=vote-after-send, to end with 86"
        assert (await remote.status())["op1.rollup"].extra == told
        await remote.kill(["op1.rollup"])
        await remote.start(["op1.rollup"])
        assert (await remote.status())["op1.rollup"].extra == ""
        await remote.kill(["op1.rollup"])
        reader, writer = await asyncio.open_unix_connection(tmp_path / "run" / "control.sock")
        writer.write(b'{"do": "rm"}\nnot json\n')
        assert b"error" in await reader.readline()
        assert b"error" in await reader.readline()
        writer.close()


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_programs_die_with_a_harness_that_is_killed(tmp_path: Path) -> None:
    for folder in ("logs", "run"):
        (tmp_path / folder).mkdir()
    harness = subprocess.Popen(
        [sys.executable, "-c", _HARNESS, str(tmp_path)], stdout=subprocess.PIPE
    )
    try:
        assert harness.stdout is not None
        assert harness.stdout.readline() == b"up\n"
        child = read_pid_file(tmp_path / "run" / "op1.rollup.pid")
        assert child is not None
        assert child.is_alive()
    finally:
        harness.kill()
        harness.communicate()
    deadline = time.monotonic() + 10
    while child.is_alive() and time.monotonic() < deadline:
        pass
    assert not child.is_alive()


_HARNESS = """
import asyncio, sys
from pathlib import Path
from devnet.backends.base import Program
from devnet.backends.process import ProcessBackend

async def main():
    arguments = ("-c", "import signal; signal.pause()")
    program = Program(name="op1.rollup", command="python", arguments=arguments, writes=("nodes",))
    backend = ProcessBackend(
        directory=Path(sys.argv[1]), programs={"op1.rollup": program}, source=Path.cwd(),
        executables={"python": Path(sys.executable)}, on_crash=print,
    )
    await backend.start(["op1.rollup"])
    print("up", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_an_end_is_told_in_words() -> None:
    assert told_end(3) == "exit code 3"
    assert told_end(-9) == "killed by SIGKILL"
    assert told_end(-40) == "killed by signal 40"
    assert told_exit("139", memory=False) == "killed by SIGSEGV"
    assert (
        told_exit("137", memory=True) == "killed by SIGKILL by the kernel: its memory was used up"
    )
    assert told_exit("2", memory=False) == "exit code 2"
    assert told_exit("?", memory=False) == "exit code ?"


async def test_who_ran_as_another_module_is_remembered(
    make: Callable[..., ProcessBackend], tmp_path: Path
) -> None:
    backend = make(
        Program(
            name="op1.middleware",
            command="python",
            arguments=("-P", "-m", "this", "--config", "x"),
            writes=("nodes/op1",),
        )
    )
    await backend.start(["op1.middleware"], Extra(module="platform", flags=("more",)))
    log = tmp_path / "logs" / "op1.middleware.log"
    await eventually(lambda: backend.stood_in == {"op1.middleware"} and bool(log.read_text()))
    assert "Zen" not in log.read_text()
