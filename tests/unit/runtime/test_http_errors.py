"""What a server means is what its client raises; what is nobody's fault but ours has no status."""

import msgspec
import pytest

from dst.runtime.http import error_response
from dst.runtime.http_errors import (
    MAX_ERROR_BYTES,
    STATUSES,
    Conflict,
    NotFound,
    UnsupportedMediaType,
    detail_of,
    failure_of,
    status_of,
)
from dst.spec.errors import BadConfig, DstError, InvalidInput, ResetRequired, Unavailable

MEANT: list[tuple[DstError, int]] = [
    (NotFound("none"), 404),
    (Conflict("not now", {"head_height": 4}), 409),
    (UnsupportedMediaType("send SSZ"), 415),
    (InvalidInput("no"), 400),
    (ResetRequired(9, "L1 moved"), 409),
    (Unavailable("later"), 503),
]


@pytest.mark.parametrize(("error", "status"), MEANT)
def test_there_and_back(error: DstError, status: int) -> None:
    assert status_of(error) == status
    body = error_response(status, str(error), **detail_of(error)).body
    assert isinstance(body, bytes)
    told = failure_of(status, body)
    assert type(told) is type(error)
    assert str(error) in str(told)
    assert detail_of(told) == detail_of(error)


def test_every_error_of_the_tree_in_the_table_is_tried() -> None:
    ours = {kind for kind, _ in STATUSES if issubclass(kind, DstError)}
    assert ours == {type(error) for error, _ in MEANT}


def test_a_kind_is_what_its_parent_is_and_a_bug_is_nothing() -> None:
    assert status_of(BadConfig("wrong file")) == 400
    assert status_of(msgspec.ValidationError("not a number")) == 400
    assert status_of(AssertionError("a bug")) is None
    assert status_of(DstError("of no kind")) is None


def test_of_a_large_error_only_the_beginning_is_read() -> None:
    body = b'{"message": "no", "rest": [%b0]}' % (b"[]," * MAX_ERROR_BYTES)
    assert str(failure_of(400, body)) == body[:200].decode()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, b"", NotFound),
        (409, b'{"reset_height": "9"}', Conflict),
        (409, b"[" * 100_000, Conflict),
        (418, b"\xff\xfe", InvalidInput),
        (302, b"elsewhere", Unavailable),
        (500, b'{"message": 7}', Unavailable),
    ],
)
def test_an_answer_from_a_stranger_is_an_error_of_the_tree(
    status: int, body: bytes, kind: type[DstError]
) -> None:
    assert type(failure_of(status, body)) is kind
