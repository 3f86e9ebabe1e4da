"""`dst formats` and the words in which a running program tells which code it is."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import dst
from dst.cli.formats import formats
from dst.runtime.build import code_digest, digest_of, tell_build
from dst.runtime.metrics import Metrics
from tests.other_versions import other_version


def told_by(tree: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "dst", "formats"],
        env={"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_every_store_the_links_and_every_role_are_told_of() -> None:
    told = formats()
    assert told["version"] == dst.__version__
    roles = {"execution", "rollup", "middleware", "validator"}
    assert set(told["stores"]) == set(told["config"]) == roles
    assert all(isinstance(number, int) for number in told["stores"].values())
    assert isinstance(told["links"], int)
    assert isinstance(told["lock_file"], int)
    validator = told["config"]["validator"]
    assert "log_level" in validator["known"]
    assert "log_level" not in validator["required"]
    assert {"keystore", "beacon"} <= set(validator["required"])


def test_another_version_tells_its_own(tmp_path: Path) -> None:
    changes = {
        "middleware/store.py": ("SCHEMA_VERSION: Final = 4", "SCHEMA_VERSION: Final = 7"),
        "p2p/handshake.py": ("PROTOCOL_VERSION: Final = 2", "PROTOCOL_VERSION: Final = 3"),
    }
    tree = other_version(tmp_path, changes)
    told, own = told_by(tree), formats()
    assert told["version"] == "9.9.9"
    assert told["links"] == 3
    assert told["stores"] == own["stores"] | {"middleware": 7}
    assert told["config"] == own["config"]
    assert told["code"] == digest_of(tree / "dst") != own["code"]


def test_the_digest_is_of_what_stands_in_the_sources_and_of_nothing_else(tmp_path: Path) -> None:
    tree = other_version(tmp_path, version=dst.__version__)
    assert digest_of(tree / "dst") == code_digest()
    (tree / "dst" / "notes.txt").write_text("x")
    assert digest_of(tree / "dst") == code_digest()
    (tree / "dst" / "core" / "draft.py").rename(tree / "dst" / "core" / "draught.py")
    assert digest_of(tree / "dst") != code_digest()


def test_metrics_tell_version_and_code() -> None:
    metrics = Metrics()
    tell_build(metrics)
    line = re.compile(
        r'^dst_build_info\{code="([0-9a-f]{12})",version="([^"]+)"\} 1$', re.MULTILINE
    )
    found = line.search(metrics.render())
    assert found is not None
    assert found.groups() == (code_digest(), dst.__version__)
