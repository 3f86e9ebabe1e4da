"""`python -m devnet.firewall.main FOLDER LABEL=PORT...`: drops TCP packets from and to the ports,
and says in FOLDER/dropped.json how many, label by label. With `--try` alone: whether it could.

Files, as with the bender: a port to ask at would be one more way into a pod.
"""

import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from devnet.firewall.nft import PacketFilter, Refused
from devnet.model.firewall import DROPPED
from devnet.model.whole import write_whole

LOOK_EVERY_S: Final = 0.2


def main(words: Sequence[str]) -> None:
    # As the first process of its container it would not hear of an end otherwise.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        if words == ["--try"]:
            PacketFilter().drop({"nothing": 1})
            return
        folder, *wanted = words
        firewall = PacketFilter()
        firewall.drop({label: int(port) for label, _, port in (w.rpartition("=") for w in wanted)})
        while True:
            say(Path(folder), firewall.dropped())
            time.sleep(LOOK_EVERY_S)
    except Refused as error:
        raise SystemExit(f"error: the kernel takes no packet filter here: {error}") from error


def say(folder: Path, counts: dict[str, int]) -> None:
    """It is read at any moment."""
    write_whole(folder / DROPPED, json.dumps(counts).encode())


if __name__ == "__main__":
    main(sys.argv[1:])
