"""Bodies as they lie in the store: whole, and one transaction of many."""

from hypothesis import given
from hypothesis import strategies as st

from dst.execution.block_format import Body, decode_body, decode_transaction_at, encode_body

raws = st.binary(max_size=60)
numbers = st.integers(0, 2**64 - 1)


@st.composite
def bodies(draw: st.DrawFn) -> Body:
    count = draw(st.integers(0, 5))
    withdrawals = st.tuples(numbers, numbers, st.binary(min_size=20, max_size=20), numbers)
    return Body(
        transactions=tuple(draw(raws) for _ in range(count)),
        transaction_hashes=tuple(bytes([index]) * 32 for index in range(count)),
        withdrawals=tuple(draw(st.lists(withdrawals, max_size=3))),
        requests=tuple(draw(st.lists(raws, max_size=3))),
        touched=tuple(bytes([index]) * 20 * index for index in range(count)),
    )


@given(bodies())
def test_a_body_comes_back(body: Body) -> None:
    data = memoryview(encode_body(body))
    assert decode_body(data) == body
    one_by_one = [decode_transaction_at(data, at) for at in range(len(body.transactions) + 1)]
    assert one_by_one == [*body.transactions, None]
