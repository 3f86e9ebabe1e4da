"""Where the committed fixtures lie; each folder's README names source, commit and licence."""

from pathlib import Path

FIXTURES = Path(__file__).parents[2] / "fixtures" / "conformance"
EEST_SLICE = FIXTURES / "eest" / "prague.jsonl.xz"
RPC_COMPAT = FIXTURES / "rpc_compat"
ETHEREUM_TESTS = FIXTURES / "ethereum_tests" / "vectors.tar.xz"
