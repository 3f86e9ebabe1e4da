"""Where in a file something stands that an error names: `faults[0] (kill).until.hold` -> its
line."""

import re
from typing import Final

import yaml

_STEP: Final = re.compile(r"\.?([a-z_]+)|\[([0-9]+)\]| \([a-z0-9-]+\)")
_UNKNOWN: Final = re.compile(r"unknown key '([^']*)'")


def line_of(text: str, error: str) -> int | None:
    """Line of what the error's first words name, as far as the file has it; None when that is the
    whole file. The text is YAML."""
    where, _, complaint = error.partition(": ")
    root = node = yaml.compose(text, Loader=yaml.SafeLoader)
    keys = _path(where)
    if unknown := _UNKNOWN.match(complaint):
        keys.append(unknown[1])
    line: int | None = None
    for key in keys:
        found = _child(node, key)
        if found is None:
            break
        line, node = found
    return line if node is not root else None


def _path(where: str) -> list[str | int]:
    """The reader calls the whole document `scenario`."""
    steps: list[str | int] = []
    at = 0
    while match := _STEP.match(where, at):
        at = match.end()
        if match[1] is not None:
            steps.append(match[1])
        elif match[2] is not None:
            steps.append(int(match[2]))
    return steps[1:] if steps[:1] == ["scenario"] else steps


def _child(node: yaml.Node | None, key: str | int) -> tuple[int, yaml.Node] | None:
    """Line of the key or item, and what stands there."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if isinstance(name, yaml.ScalarNode) and name.value == key:
                return name.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        item = node.value[key]
        return item.start_mark.line + 1, item
    return None
