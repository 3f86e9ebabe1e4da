"""What would crash or fool the Toxiproxy server never leaves this process; values as measured."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devnet.links.mesh import describe_fault
from devnet.links.toxiproxy import (
    Proxy,
    Toxic,
    ToxiproxyClient,
    ToxiproxyUnreachable,
    after_shape,
    check_attributes,
    guard_toxics,
    is_shaped,
)
from devnet.model.cut import CutMode
from devnet.model.shape import Shape, Streams
from dst.spec.errors import InvalidInput


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("bandwidth", {"rate": -1}),
        ("bandwidth", {"rate": 10**17}),
        ("bandwidth", {}),
        ("latency", {"latency": -1}),
        ("latency", {"latency": 10**13}),
        ("latency", {"latency": 1, "jitter": 2**62}),
        ("latency", {"jitter": 5}),
        ("latency", {"latancy": 5}),
        ("latency", {"latency": 1.5}),
        ("latency", {"latency": True}),
        ("latency", {"latency": "5"}),
        ("slicer", {"average_size": 0}),
        ("slicer", {"size_variation": 0}),
        ("slicer", {"average_size": 64, "size_variation": 1000}),
        ("slicer", {"average_size": 64, "size_variation": 64}),
        ("slicer", {"average_size": 64, "size_variation": -64}),
        ("timeout", {}),
        ("timeout", {"timeout": -1}),
        ("reset_peer", {"timeout": 10**13}),
        ("noop", {}),
        ("packet_loss", {"loss": 1}),
    ],
)
def test_dangerous_attributes_are_refused(kind: str, attributes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        check_attributes(kind, attributes)


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("bandwidth", {"rate": 0}),
        ("latency", {"latency": 50, "jitter": 10}),
        ("slicer", {"average_size": 64, "size_variation": 63, "delay": 0}),
        ("timeout", {"timeout": 0}),
        ("limit_data", {"bytes": 100}),
        ("slow_close", {"delay": 0}),
    ],
)
def test_sane_attributes_pass(kind: str, attributes: dict[str, int]) -> None:
    check_attributes(kind, attributes)


def test_a_patch_may_leave_out_what_is_required_but_not_split_a_slicer() -> None:
    check_attributes("latency", {"jitter": 1}, partial=True)
    with pytest.raises(InvalidInput, match="together"):
        check_attributes("slicer", {"size_variation": 1}, partial=True)


@given(st.floats().filter(lambda value: not 0 <= value <= 1))
async def test_toxicity_outside_0_to_1_never_reaches_the_server(toxicity: float) -> None:
    toxic = Toxic(
        name="t", type="latency", stream="upstream", attributes={"latency": 1}, toxicity=toxicity
    )
    async with ToxiproxyClient("http://127.0.0.1:1") as client:
        with pytest.raises(InvalidInput, match="toxicity"):
            await client.add_toxic("p", toxic)


async def test_cuts_that_close_connections_have_no_single_direction() -> None:
    async with ToxiproxyClient("http://127.0.0.1:1") as client:
        for mode in (CutMode.DROP, CutMode.REFUSE):
            with pytest.raises(InvalidInput, match="direction"):
                await client.cut("p", mode, ["upstream"])


async def test_a_server_that_is_not_there_is_unreachable_not_a_crash() -> None:
    async with ToxiproxyClient("http://127.0.0.1:1") as client:
        with pytest.raises(ToxiproxyUnreachable, match=r"127\.0\.0\.1:1"):
            await client.proxies()


@pytest.mark.parametrize("kind", ["latency", "slow_close"])
def test_a_shape_is_that_of_its_streams_and_share_and_no_other(kind: str) -> None:
    """One kind is kept and off after a heal, the other is taken out."""
    attributes = {"latency": 5, "jitter": 2} if kind == "latency" else {"delay": 9}
    shapes = [
        Shape(attributes=attributes, streams=streams, toxicity=toxicity)
        for streams in Streams
        for toxicity in (0.25, 1.0)
    ]
    for shape in shapes:
        there = after_shape(_proxy(*guard_toxics()), kind, shape)
        assert [each for each in shapes if is_shaped(there, kind, each)] == [shape]
        assert not is_shaped(there, kind, None)
        assert is_shaped(after_shape(there, kind, None), kind, None)


def _proxy(*toxics: Toxic, enabled: bool = True) -> Proxy:
    return Proxy(
        name="p", listen="127.0.0.1:1", upstream="127.0.0.1:2", enabled=enabled, toxics=toxics
    )


def test_guards_alone_are_no_fault() -> None:
    assert describe_fault(_proxy(*guard_toxics())) == ""


@pytest.mark.parametrize(
    ("toxic", "word"),
    [
        (Toxic(name="a", type="bandwidth", stream="upstream", attributes={"rate": 0}), "hold"),
        (
            Toxic(name="a", type="timeout", stream="upstream", attributes={"timeout": 0}),
            "blackhole",
        ),
        (Toxic(name="a", type="timeout", stream="upstream", attributes={"timeout": 1}), "drop"),
        (Toxic(name="a", type="timeout", stream="upstream", attributes={"timeout": 2}), "timeout"),
        (
            Toxic(
                name="a",
                type="latency",
                stream="upstream",
                attributes={"latency": 50, "jitter": 5},
            ),
            "latency 50 ± 5 ms",
        ),
        (
            Toxic(
                name="a",
                type="slow_close",
                stream="upstream",
                attributes={"delay": 5},
                toxicity=0.25,
            ),
            "slow_close on 25%",
        ),
        (
            Toxic(name="a", type="latency", stream="upstream", attributes={"latency": 50}),
            "latency 50 ms",
        ),
        (
            Toxic(name="a", type="bandwidth", stream="upstream", attributes={"rate": 100}),
            "100 KB/s",
        ),
        (
            Toxic(
                name="a", type="latency", stream="upstream", attributes={"latency": 9}, toxicity=0.0
            ),
            "",
        ),
        (
            Toxic(name="a", type="slicer", stream="upstream", attributes={"average_size": 1}),
            "slicer",
        ),
    ],
)
def test_faults_have_names(toxic: Toxic, word: str) -> None:
    assert describe_fault(_proxy(*guard_toxics(), toxic)) == word


def test_a_disabled_proxy_refuses() -> None:
    assert describe_fault(_proxy(enabled=False)) == "refuse"
