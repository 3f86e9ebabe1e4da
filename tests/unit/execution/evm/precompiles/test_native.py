"""Compiled code: its memory, a call, an instance a thread."""

import threading

import pytest

from dst.execution.evm.precompiles.native import MEMORY, Code

PAGE = 65_536


def module() -> Code:
    """`add` adds the words at 0 and 8 into 16; `fail` stops half-way."""
    return Code(
        lambda: (
            f"""(module (memory (export "{MEMORY}") 1 1)
        (func (export "add") (i64.store offset=16 (i32.const 0)
            (i64.add (i64.load offset=0 (i32.const 0)) (i64.load offset=8 (i32.const 0)))))
        (func (export "fail") unreachable))"""
        )
    )


def test_arguments_and_results_are_in_the_memory() -> None:
    code = module().instance()
    code.write(0, (40).to_bytes(8, "little") + (2).to_bytes(8, "little"))
    for _ in range(3):
        code.call("add")
    assert code.read(16, 8) == (42).to_bytes(8, "little")


def test_code_that_stops_half_way_is_a_mistake_of_ours() -> None:
    code = module().instance()
    with pytest.raises(AssertionError, match="compiled code stopped"):
        code.call("fail")


def test_nothing_is_read_or_written_outside_of_the_memory() -> None:
    code = module().instance()
    code.write(PAGE - 4, b"abcd")
    assert code.read(PAGE - 4, 4) == b"abcd"
    with pytest.raises(ValueError, match="assignment"):
        code.write(PAGE - 3, b"abcd")
    with pytest.raises(AssertionError):
        code.read(PAGE - 3, 4)


def test_each_thread_has_its_own_memory() -> None:
    code = module()
    code.instance().write(0, b"first")
    seen: list[bytes] = []
    thread = threading.Thread(target=lambda: seen.append(code.instance().read(0, 5)))
    thread.start()
    thread.join()
    assert seen == [bytes(5)]
    assert code.instance().read(0, 5) == b"first"
