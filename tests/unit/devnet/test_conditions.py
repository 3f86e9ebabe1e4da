"""A node's troubles in few words: whole nodes as one, links by who is at the other end."""

import pytest

from devnet.model.topology import FOLLOWER_ROLES, OPERATOR_ROLES
from devnet.views.conditions import faults_of, is_cut_off, state_of

OPERATORS = ("op1", "op2", "op3", "op4")


def programs(node: str, state: str, roles: tuple[str, ...] = OPERATOR_ROLES) -> dict[str, str]:
    return {f"{node}.{role}": state for role in roles}


@pytest.mark.parametrize(
    ("state", "word"), [("killed", "killed"), ("paused", "frozen"), ("crashed", "crashed")]
)
def test_a_node_whose_programs_are_all_stopped_is_one_word(state: str, word: str) -> None:
    assert state_of("op1", programs("op1", state)) == word
    assert state_of("f1", programs("f1", state, FOLLOWER_ROLES)) == word
    assert faults_of("op1", programs("op1", state), {}, OPERATORS) == ""


def test_a_node_that_lost_some_programs_names_them() -> None:
    some = {"op1.rollup": "killed", "op1.execution": "killed", "op1.validator": "paused"}
    assert state_of("op1", some) == ""
    assert faults_of("op1", some, {}, OPERATORS) == "rollup, execution killed, validator frozen"
    assert faults_of("op2", some, {}, OPERATORS) == ""


def partition(*pairs: tuple[str, str]) -> dict[str, str]:
    return {
        f"{a}>{b}.{what}": "drop"
        for one, other in pairs
        for a, b in ((one, other), (other, one))
        for what in ("consensus", "rpc")
    }


def test_a_partition_names_the_other_side_once() -> None:
    links = partition(("op1", "op3"), ("op1", "op4"), ("op2", "op3"), ("op2", "op4"))
    assert faults_of("op1", {}, links, OPERATORS) == "cut from op3, op4"
    assert faults_of("op4", {}, links, OPERATORS) == "cut from op1, op2"
    assert is_cut_off("op1", links)
    assert not is_cut_off("f1", links)


def test_an_operator_cut_from_all_others_says_so_and_a_follower_names_whom_it_asks() -> None:
    links = partition(("op1", "op2"), ("op1", "op3"), ("op1", "op4"))
    links |= {"f1>op1.beacon": "refuse", "f1>op1.rpc": "refuse"}
    assert faults_of("op1", {}, links, OPERATORS) == "cut from all operators, f1"
    assert faults_of("f1", {}, links, OPERATORS) == "cut from op1"


def test_a_cut_of_one_direction_says_which() -> None:
    links = {"op1>op2.consensus": "hold"}
    assert faults_of("op1", {}, links, OPERATORS) == "cut, cannot reach op2"
    assert faults_of("op2", {}, links, OPERATORS) == "cut, not reached by op1"


def test_links_inside_a_node_and_to_its_clients_go_by_their_service() -> None:
    links = {
        "op1.rollup>op1.engine": "latency 50 ms",
        "op1.middleware>op1.rollup": "hold, latency 20 ms",
        "op1.execution>op1.rollup": "refuse",
        "client>op1.rpc": "refuse",
        "op2.toxiproxy": "does not answer",
    }
    assert faults_of("op1", {}, links, OPERATORS) == (
        "engine link +50 ms, rollup link cut +20 ms, finality link cut, client rpc link cut"
    )
    assert faults_of("op2", {}, links, OPERATORS) == "toxiproxy does not answer"


def test_delay_between_operators_names_the_peers() -> None:
    links = {"op1>op2.consensus": "latency 50 ms", "op2>op1.consensus": "latency 50 ms"}
    links["op10>op1.consensus"] = "latency 50 ms"
    assert faults_of("op1", {}, links, OPERATORS) == "+50 ms with op2, op10"
