"""What holds for all tests."""

import sys

import py_ecc.bls  # noqa: F401  (first, because its import raises the recursion limit to 100,000)

# With that limit a hundred kilobytes of `[` end a JSON decoder by a stack overflow; the nodes'
# own limit is set where py-evm is imported, and tests of broken input must meet the same one.
sys.setrecursionlimit(15_000)
