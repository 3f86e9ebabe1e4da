"""One faulty peer must not fill the log, the evidence table or the event stream."""

from pathlib import Path

from dst.middleware.accusations import LINE_INTERVAL_S, MAX_REMEMBERED, Accusations
from dst.middleware.store import MAX_EVIDENCE, MAX_EVIDENCE_PER_CULPRIT, Evidence, open_store
from dst.spec.primitives import Height, OperatorIndex

ONE, TWO = OperatorIndex(1), OperatorIndex(2)


def test_a_line_per_peer_and_reason_now_and_then() -> None:
    now = [0.0]
    accusations = Accusations(lambda: now[0])
    assert [accusations.may_say(ONE, "bad") for _ in range(3)] == [True, False, False]
    assert accusations.may_say(ONE, "worse")
    assert accusations.may_say(TWO, "bad")
    now[0] = LINE_INTERVAL_S
    assert accusations.may_say(ONE, "bad")


def test_an_offence_is_kept_once_per_culprit_height_and_reason() -> None:
    accusations = Accusations(lambda: 0.0)
    told = [accusations.is_first(ONE, Height(5), "second_proposal") for _ in range(100)]
    assert told.count(True) == 1
    assert accusations.is_first(TWO, Height(5), "second_proposal")
    assert accusations.is_first(ONE, Height(6), "second_proposal")
    for height in range(10 * MAX_REMEMBERED):
        accusations.is_first(ONE, Height(height), "bad")
    assert len(accusations._kept) <= MAX_REMEMBERED


async def test_one_culprit_cannot_use_up_the_evidence_table(tmp_path: Path) -> None:
    assert MAX_EVIDENCE_PER_CULPRIT < MAX_EVIDENCE
    store = open_store(tmp_path, b"\x11" * 32, new=True, rejoin=False)
    try:
        for height in range(MAX_EVIDENCE_PER_CULPRIT + 5):
            await store.note_evidence(Evidence(Height(height), 1, "bad", "detail", b""))
        await store.note_evidence(Evidence(Height(1), 2, "bad", "detail", b""))
        culprits = [each.culprit for each in store.evidence()]
    finally:
        store.close()
    assert (culprits.count(1), culprits.count(2)) == (MAX_EVIDENCE_PER_CULPRIT, 1)
