"""Random programs that get somewhere: operands that matter, jumps that mostly land, loops that
mostly end."""

from hypothesis import strategies as st

from tests.unit.execution.evm.arena import CODE, push

WORDS = st.one_of(
    st.sampled_from([0, 1, 2, 3, 31, 32, 33, 64, 255, 256, 2**160, 2**255, 2**255 - 1, 2**256 - 1]),
    st.integers(0, 2**16),
    st.integers(0, 2**256 - 1),
)
PLACES = st.one_of(
    st.sampled_from([0, 1, 31, 32, 64, 100]), st.integers(0, 300), st.just(2**64), st.just(5_000)
)
SIZES = st.one_of(st.sampled_from([0, 0, 1, 32, 33]), st.integers(0, 100), st.just(2**40))
ADDRESSES = st.sampled_from(
    [int.from_bytes(CODE, "big"), 0xE0, 0x04, 2**255 + 7, int.from_bytes(b"\x5e" * 20, "big")]
)
SLOTS = st.integers(0, 3)

_PLAIN = [*range(0x01, 0x0C), *range(0x10, 0x1E)]
_ENVIRONMENT = [
    *(0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3A, 0x3D, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47),
    *(0x48, 0x4A, 0x58, 0x59, 0x5A, 0x5F),
]


def _call(opcode: int, *operands: int) -> bytes:
    """The operands from the top of the stack, then the opcode."""
    return b"".join(push(operand) for operand in reversed(operands)) + bytes((opcode,))


@st.composite
def _operation(draw: st.DrawFn) -> bytes:
    """One opcode with operands that it can use."""
    kind = draw(st.integers(0, 15))
    if kind <= 2:
        opcode = draw(st.sampled_from(_PLAIN))
        return _call(opcode, draw(WORDS), draw(WORDS), draw(WORDS))
    if kind == 3:
        return bytes((draw(st.sampled_from(_ENVIRONMENT)),))
    if kind == 4:
        return _call(draw(st.sampled_from([0x51, 0x52, 0x53])), draw(PLACES), draw(WORDS))
    if kind == 5:
        return _call(0x20, draw(PLACES), draw(SIZES))
    if kind == 6:
        opcode = draw(st.sampled_from([0x37, 0x39, 0x3E, 0x5E]))
        return _call(opcode, draw(PLACES), draw(PLACES), draw(SIZES))
    if kind == 7:
        return _call(draw(st.sampled_from([0x54, 0x5C])), draw(SLOTS))
    if kind == 8:
        return _call(draw(st.sampled_from([0x55, 0x5D])), draw(SLOTS), draw(st.integers(0, 3)))
    if kind == 9:
        return _call(draw(st.sampled_from([0x31, 0x3B, 0x3F])), draw(ADDRESSES))
    if kind == 10:
        return _call(0x3C, draw(ADDRESSES), draw(PLACES), draw(PLACES), draw(SIZES))
    if kind == 11:
        topics = draw(st.integers(0, 4))
        return _call(0xA0 + topics, draw(PLACES), draw(SIZES), *[draw(WORDS)] * topics)
    if kind == 12:
        gas = draw(st.sampled_from([0, 500, 50_000]))
        value = draw(st.sampled_from([0, 0, 1, 10**6]))
        ranges = (draw(PLACES), draw(SIZES), draw(PLACES), draw(SIZES))
        opcode = draw(st.sampled_from([0xF1, 0xF2, 0xF4, 0xFA]))
        values = (value,) if opcode in (0xF1, 0xF2) else ()
        return _call(opcode, gas, draw(ADDRESSES), *values, *ranges)
    if kind == 13:
        return _call(0x35, draw(PLACES))
    if kind == 14:
        return _call(0x40, draw(st.integers(0, 9)))
    return _call(0x49, draw(WORDS))


STACK_WORK = st.one_of(
    WORDS.map(push),
    st.integers(0x80, 0x8F).map(lambda opcode: bytes((opcode,))),
    st.integers(0x90, 0x9F).map(lambda opcode: bytes((opcode,))),
    st.sampled_from(_PLAIN).map(lambda opcode: bytes((opcode,))),
    st.just(b"\x50"),
    st.just(b"\x5a"),
)
KEEP = st.sampled_from([b"", b"\x5a\x60\x02\x55", b"\x60\x03\x55"])
"""Sometimes what is on the stack, or the gas left, goes to storage, where it is compared."""


@st.composite
def programs(draw: st.DrawFn) -> bytes:
    code = bytearray(b"".join(push(draw(WORDS)) for _ in range(draw(st.integers(0, 4)))))
    for _ in range(draw(st.integers(1, 12))):
        piece = draw(st.one_of(_operation(), STACK_WORK, STACK_WORK))
        shape = draw(st.integers(0, 9))
        if shape == 0:  # skipped or not
            body = piece + draw(KEEP)
            condition = draw(st.sampled_from([b"\x5f", b"\x60\x01", b"\x80", b"\x5a"]))
            target = len(code) + len(condition) + 4 + len(body)
            code += condition + b"\x61" + target.to_bytes(2, "big") + b"\x57" + body + b"\x5b"
        elif shape == 1:  # a loop: a counter, its body, down by one, back unless zero
            code += push(draw(st.integers(1, 5)))
            start = len(code)
            code += (
                b"\x5b" + piece + b"\x60\x01\x90\x03\x80\x61" + start.to_bytes(2, "big") + b"\x57"
            )
        elif shape == 2:  # a jump on, over some data
            data = draw(st.binary(max_size=3))
            target = len(code) + 4 + len(data)
            code += b"\x61" + target.to_bytes(2, "big") + b"\x56" + data + b"\x5b" + piece
        elif shape == 3:  # anywhere
            code += push(draw(st.integers(0, 60))) + draw(st.sampled_from([b"\x56", b"\x57"]))
        else:
            code += piece + draw(KEEP)
    end = draw(
        st.sampled_from(
            [b"", b"\x00", b"\x60\x40\x5f\xf3", b"\x60\x20\x60\x10\xfd", b"\xfe", b"\xff", b"\x0c"]
        )
    )
    return bytes(code) + end


ANYTHING = st.binary(min_size=1, max_size=60)
"""Bytes as they come: mostly wrong at once, and never the same way."""
