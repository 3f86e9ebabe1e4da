"""A hostile JSON body must end in an error, not in a stack overflow of the process that executes
blocks.
"""

import subprocess
import sys

PROBE = """
import json, msgspec, sys
import dst.execution.main
for decode in (json.loads, msgspec.json.decode):
    try:
        decode("[" * 1_000_000)
    except RecursionError:
        print("refused")
"""


def test_deeply_nested_json_is_refused_in_the_execution_role() -> None:
    # In a process of its own: the test suite's py_ecc raises the limit for this one.
    done = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "refused\nrefused\n"), done.stderr
