"""Run the model: Quint's simulator in its TypeScript edition, which needs nothing but Node.

The packages come from the lock file beside this module (`devnet.toolchain.npm_project`). antlr4ts
is pinned there, because the newer ones that Quint's own range admits do not start.
"""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devnet.sim.formal.values import Trace, read_trace
from devnet.toolchain.npm_project import ensure_npm_project
from dst.spec.errors import DstError

HERE: Final = Path(__file__).parent
MODEL: Final = HERE / "qbft.qnt"
PROGRAM: Final = "node_modules/@informalsystems/quint/dist/src/cli.js"
TIMEOUT_S: Final = 600
"""For one run on a machine that does much else; the gate's take ten seconds each."""


class ModelBroken(DstError):
    """Quint could not run the model; the message is what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How schedules are drawn: `samples` of them from one seed, of at most `steps` steps."""

    init: str = "init"
    samples: int
    steps: int = 40
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search came to.

    violated: an invariant failed; `traces` then holds that one schedule.
    witnesses: name -> number of sampled schedules in which it was true at some step.
    traces: the longest schedules, as many as were asked for.
    """

    violated: bool
    witnesses: dict[str, int]
    traces: tuple[Trace, ...]
    output: str


def explore(
    search: Search,
    *,
    invariants: Sequence[str],
    witnesses: Sequence[str] = (),
    traces: int = 1,
    model: Path = MODEL,
) -> Found:
    """Draw schedules until an invariant fails or all are drawn.

    Raises: ToolMissing, ModelBroken.
    """
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        command = [*_program(), "run", str(model), "--backend=typescript", "--verbosity=1"]
        command += [f"--init={search.init}", f"--max-samples={search.samples}"]
        command += [f"--max-steps={search.steps}", f"--seed={search.seed}"]
        command += [f"--n-traces={traces}", f"--out-itf={folder}/{{seq}}.itf.json"]
        command += ["--invariants", *invariants]
        command += ["--witnesses", *witnesses] if witnesses else []
        output = _run(command)
        files = sorted(Path(folder).glob("*.itf.json"), key=lambda file: int(file.name[:-9]))
        return Found(
            violated="[violation]" in output,
            witnesses=_witnesses(output),
            traces=tuple(read_trace(file.read_bytes()) for file in files),
            output=output,
        )


def _program() -> tuple[str, str]:
    project = ensure_npm_project(HERE)
    return str(project.node), str(project.folder / PROGRAM)


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    output = done.stdout + done.stderr
    if not re.search(r"^\[(ok|violation)\]", done.stdout, re.MULTILINE):
        raise ModelBroken(output.strip()[-2000:] or f"no output, exit code {done.returncode}")
    return output


def _witnesses(output: str) -> dict[str, int]:
    found = re.findall(r"^(\w+) was witnessed in (\d+) trace", output, re.MULTILINE)
    return {name: int(count) for name, count in found}
