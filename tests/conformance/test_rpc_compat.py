"""The JSON-RPC conversations of execution-apis, repeated on the role as it runs."""

from collections.abc import Callable

from tests.conformance import rpc_compat, rpc_differences
from tests.conformance.blobs import blobs_allowed
from tests.conformance.paths import RPC_COMPAT
from tests.conformance.role import RoleHost
from tests.conformance.tally import Tally

MakeTally = Callable[[str], Tally]


def test_prague_chain(role_host: RoleHost, tally: MakeTally) -> None:
    """The chain of commit d08382ae, all its conversations, and newer ones that suit it."""
    fixture = rpc_compat.load(RPC_COMPAT / "d08382ae.tar.xz")
    newer = rpc_compat.load(RPC_COMPAT / "newer.tar.xz")
    counts, newer_counts = tally("rpc-compat d08382ae"), tally("rpc-compat newer, by shape")
    with blobs_allowed(), role_host.serving(rpc_compat.genesis_of(fixture)) as role:
        rpc_compat.import_chain(fixture, role)
        rpc_compat.judge(
            fixture.conversations(),
            role,
            counts,
            rpc_differences.PRAGUE_CHAIN,
            rpc_differences.NOT_SERVED,
        )
        rpc_compat.judge(
            rpc_compat.by_shape(newer.conversations()),
            role,
            newer_counts,
            rpc_differences.NEWER,
            rpc_differences.NOT_SERVED,
        )
    counts.check()
    newer_counts.check()


def test_chain_that_ends_in_prague(role_host: RoleHost, tally: MakeTally) -> None:
    """The state and head of commit 97723808: simulations, access lists, estimates."""
    fixture = rpc_compat.load(RPC_COMPAT / "97723808.tar.xz")
    counts = tally("rpc-compat 97723808, latest state")
    genesis = rpc_compat.late_genesis_of(fixture)
    with rpc_compat.beginning_at(genesis), role_host.serving(genesis) as role:
        assert role.head_hash() == fixture.json("headfcu.json")["params"][0]["headBlockHash"]
        rpc_compat.judge(
            fixture.conversations(),
            role,
            counts,
            rpc_differences.LATE_CHAIN,
            rpc_differences.NOT_SERVED,
        )
    counts.check()
