"""Execution-spec-tests for Prague through the Engine API over HTTP, as a consensus client would."""

from collections.abc import Callable

from tests.conformance.eest import over_http, read_slice
from tests.conformance.paths import EEST_SLICE
from tests.conformance.role import RoleHost
from tests.conformance.tally import Tally


def test_prague_slice(role_host: RoleHost, tally: Callable[[str], Tally]) -> None:
    counts = tally("EEST Prague, Engine API over HTTP")
    for case in read_slice(EEST_SLICE):
        with role_host.serving(case.genesis()) as role:
            over_http(case, role, counts)
    counts.check()
