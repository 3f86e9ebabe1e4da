"""`python -m dst`."""

import sys

from dst.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
