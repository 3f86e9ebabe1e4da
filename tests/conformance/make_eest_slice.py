"""`python -m tests.conformance.make_eest_slice SOURCE OUT`: cut the committed slice from a set of
execution-spec-tests fixtures. The same source gives the same bytes.

Of each file that belongs to an EIP or an opcode the first few Prague cases spread evenly; of the
ported state tests one case of every other file, and of every file that is about one EIP. Blob cases
stay out (they could only be skipped) but for their precompile and opcode; so do blocks of much gas,
which the whole run covers. To each valid block its EIP-7685 requests are added: newPayload wants
them, a block's RLP has their hash only, and the header's hash commits to them.
"""

import json
import lzma
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

from dst.execution.chain import Chain
from dst.execution.evm.messages import EVM_STACK_BYTES
from tests.conformance.eest import NETWORK, Case, in_process, read_cases
from tests.conformance.sources import read_files
from tests.conformance.tally import Tally

FOLDER = "blockchain_tests"
PORTED = f"{FOLDER}/static/"
PORTED_OF_AN_EIP = "/stEIP"
CASES_OF_A_FILE = 8
MAX_GAS = 3_000_000
MAX_PORTED_GAS = 300_000
"""Above it the ported tests are mostly recursion to depth 1,024: seconds each."""
KEPT = ("network", "genesisRLP", "pre", "lastblockhash")


def chosen(source: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, test) in the order of the files."""
    for path, data in read_files(source, FOLDER):
        if data is None:
            continue
        tests = [
            (name, test)
            for name, test in json.loads(data).items()
            if test["network"] == NETWORK and is_wanted(path, name, test)
        ]
        if path.startswith(PORTED):
            mark = crc32(path.encode())
            if tests and (mark % 2 or PORTED_OF_AN_EIP in path):
                yield tests[(mark >> 1) % len(tests)]
        else:
            step = max(1, -(-len(tests) // CASES_OF_A_FILE))
            yield from tests[::step]


def is_wanted(path: str, name: str, test: dict[str, Any]) -> bool:
    (case,) = read_cases(json.dumps({name: test}).encode())
    if case.reason_to_skip is not None:
        return False
    blocks = (block for block, _, _ in case.wire_blocks() if block is not None)
    gas = sum(int(block.payload["gasUsed"], 16) for block in blocks)
    return gas <= (MAX_PORTED_GAS if path.startswith(PORTED) else MAX_GAS)


def slimmed(name: str, test: dict[str, Any]) -> bytes:
    """One line: what a run needs and no more."""
    (case,) = read_cases(json.dumps({name: test}).encode())
    chain = in_process(case, Tally(name))
    assert chain is not None, f"{name}: cut the slice with an engine that passes it"
    blocks = [_slim_block(chain, case, at, block) for at, block in enumerate(test["blocks"])]
    kept = {key: test[key] for key in KEPT} | {"blocks": blocks}
    return json.dumps({name: kept}, separators=(",", ":")).encode() + b"\n"


def _slim_block(chain: Chain, case: Case, at: int, block: dict[str, Any]) -> dict[str, Any]:
    slim = {key: value for key, value in block.items() if key.startswith("expectException")}
    slim["rlp"] = block["rlp"]
    wire = case.wire_blocks()[at][0]
    if wire is not None and not slim.keys() - {"rlp"}:
        requests = chain.body(bytes.fromhex(wire.hash[2:])).requests
        if requests:
            slim["requests"] = ["0x" + each.hex() for each in requests]
    return slim


def main(source: Path, out: Path) -> None:
    count = 0
    with lzma.open(out, "wb", preset=9 | lzma.PRESET_EXTREME) as archive:
        for name, test in chosen(source):
            archive.write(slimmed(name, test))
            count += 1
    print(f"{out}: {count} cases, {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    threading.stack_size(EVM_STACK_BYTES)
    thread = threading.Thread(target=main, args=(Path(sys.argv[1]), Path(sys.argv[2])))
    thread.start()
    thread.join()
