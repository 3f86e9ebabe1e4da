"""`python -m tests.conformance.make_vectors CLONE OUT.tar.xz`: cut the committed part of
ethereum/tests: transactions, tries, RLP, without the notes of their filling. The same clone gives
the same bytes."""

import io
import json
import sys
import tarfile
from pathlib import Path

from tests.conformance.sources import read_files

FOLDERS = ("RLPTests", "TransactionTests", "TrieTests")
MAX_BYTES = 250_000
"""Above: one transaction of ten megabytes; `make conformance` takes it from the clone."""


def main(source: Path, out: Path) -> None:
    count = 0
    with tarfile.open(out, "w:xz", preset=9) as archive:
        for path, data in (each for folder in FOLDERS for each in read_files(source, folder)):
            if data is None or len(data) > MAX_BYTES:
                continue
            tests = json.loads(data)
            for test in tests.values():
                test.pop("_info", None)
            slim = json.dumps(tests, separators=(",", ":")).encode()
            entry = tarfile.TarInfo(path)
            entry.size = len(slim)
            archive.addfile(entry, io.BytesIO(slim))
            count += 1
    print(f"{out}: {count} files, {out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
