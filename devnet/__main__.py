"""`python -m devnet` is the `devnet` command."""

import sys

from devnet.cli import main

if __name__ == "__main__":
    sys.exit(main())
