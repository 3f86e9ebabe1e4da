"""What a role may not import: libraries of users, tests and tools cost start-up time and memory in
every process of every operator, and each is one more way in.

The guard sees what importing a role's main module loads; an import inside a function escapes it.
"""

import subprocess
import sys
from typing import Final

import pytest

ROLES: Final = ("execution", "rollup", "middleware", "validator")
FORBIDDEN: Final = frozenset({"web3", "eth_account", "pytest", "docker", "rich", "py_ecc"})
EXEMPT: Final = {"execution": frozenset({"py_ecc"})}
"""py-evm computes its BLS and BN254 precompiles with py_ecc, so whoever imports it gets both."""


def loaded_by(statement: str) -> frozenset[str]:
    """Top-level packages in a fresh interpreter after `statement`."""
    code = f"import sys\n{statement}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return frozenset(done.stdout.split())


@pytest.mark.parametrize("role", ROLES)
def test_a_role_imports_nothing_of_users_tests_and_tools(role: str) -> None:
    loaded = loaded_by(f"import dst.cli.main, dst.{role}.main")
    assert loaded & FORBIDDEN <= EXEMPT.get(role, frozenset())


def test_py_evm_is_the_reason_of_the_exemption_and_only_the_execution_role_pays() -> None:
    assert "py_ecc" in loaded_by("import eth.vm.forks.prague")
    for role in ROLES:
        assert ("eth" in loaded_by(f"import dst.{role}.main")) == (role == "execution")


def test_the_front_door_imports_no_role() -> None:
    """Each process pays for its own role alone: `dst.cli.main` imports it when it runs."""
    code = "import dst.cli.main; print(*(m for m in sys.modules if m.startswith('dst.')))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}"], capture_output=True, text=True, check=True
    )
    roles = {f"dst.{role}" for role in ROLES}
    assert not roles & set(done.stdout.split())


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_the_guard_sees_what_is_loaded(package: str) -> None:
    """A guard that cannot fail guards nothing. An empty module stands for the real package."""
    stand_in = f"import types; sys.modules['{package}'] = types.ModuleType('{package}')"
    assert loaded_by(stand_in) & FORBIDDEN == {package}
