"""Traces of the model become typed values."""

import json

import msgspec
import pytest

from devnet.sim.formal.values import Event, Expired, HearPrepare, Vote, _plain, read_trace


def _big(value: int) -> dict[str, str]:
    return {"#bigint": str(value)}


def test_the_wrappers_of_the_format_are_taken_off() -> None:
    wrapped = {
        "set": {"#set": [_big(1), _big(-1)]},
        "map": {"#map": [[_big(0), "a"]]},
        "tuple": {"#tup": [True, "b"]},
        "list": [_big(3)],
    }
    assert _plain(wrapped) == {"set": [1, -1], "map": {0: "a"}, "tuple": [True, "b"], "list": [3]}


def test_an_input_is_known_by_its_variant() -> None:
    vote = {"sender": _big(2), "round": _big(0), "root": "b0"}
    told = [
        {"at": _big(0), "input": {"tag": "HearPrepare", "value": vote}},
        {"at": _big(1), "input": {"tag": "Expired", "value": {"#tup": []}}},
    ]
    assert msgspec.convert(_plain(told), type=list[Event]) == [
        Event(at=0, input=HearPrepare(value=Vote(sender=2, round=0, root="b0"))),
        Event(at=1, input=Expired()),
    ]


def test_what_is_not_a_trace_of_this_model_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        read_trace(json.dumps({"states": [{"setting": {"liar": _big(1)}}]}).encode())
