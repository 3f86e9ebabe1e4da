"""JUnit XML: one test case per verdict, so that a CI page names the invariant that broke."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from devnet.model.verdict import Outcome, Verdict


def render_junit(
    verdicts: Sequence[Verdict], *, scenario: str, seconds: float, replay: str, error: str = ""
) -> str:
    """`replay` is the command that runs the same plan again; it closes every failure text.

    Inconclusive and vacuous verdicts are errors, not failures: nothing broke, but nothing was shown
    either.
    """
    failures = sum(verdict.outcome is Outcome.FAIL for verdict in verdicts)
    errors = sum(v.outcome in (Outcome.INCONCLUSIVE, Outcome.VACUOUS) for v in verdicts)
    suite = ET.Element(
        "testsuite",
        name=scenario,
        tests=str(len(verdicts) + bool(error)),
        failures=str(failures),
        errors=str(errors + bool(error)),
        time=f"{seconds:.3f}",
    )
    for verdict in verdicts:
        _case(suite, scenario, verdict, replay)
    if error:
        case = ET.SubElement(suite, "testcase", classname=scenario, name="harness")
        ET.SubElement(case, "error", message=error).text = replay
    return ET.tostring(suite, encoding="unicode", xml_declaration=True)


def _case(suite: ET.Element, scenario: str, verdict: Verdict, replay: str) -> None:
    case = ET.SubElement(suite, "testcase", classname=scenario, name=verdict.checker)
    if verdict.outcome is Outcome.PASS:
        return
    kind = "failure" if verdict.outcome is Outcome.FAIL else "error"
    lines = [violation.summary for violation in verdict.violations] or [verdict.note]
    node = ET.SubElement(case, kind, message=f"{verdict.outcome.value}: {lines[0]}")
    node.text = "\n".join([*lines, replay])
