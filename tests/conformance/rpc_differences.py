"""Where our answers may differ from the recorded ones, each with its reason. A line whose
conversation passes fails the run: then it goes."""

from typing import Final

NOT_SERVED: Final[dict[str, str]] = dict.fromkeys(
    (
        "debug_getRawBlock",
        "debug_getRawHeader",
        "debug_getRawReceipts",
        "debug_getRawTransaction",
        "debug_traceBlockByHash",
        "debug_traceBlockByNumber",
        "debug_traceTransaction",
        "eth_baseFee",
        "eth_config",
        "eth_createAccessList",
        "eth_getProof",
        "eth_simulateV1",
    ),
    "not served yet",
)
"""Method -> reason."""

_SIZE = "size leaves out the string headers of typed transactions"
_TOTAL_DIFFICULTY = "we still answer totalDifficulty, which execution-apis dropped"
_BLOB_FIELDS = "blob fields of a block, transaction or receipt: this chain has no blobs"
_OLD_CODE = "the recording has -32000; later ones have -32602, and so have we"

PRAGUE_CHAIN: Final[dict[str, str]] = {
    "eth_getBlockByHash/get-block-by-hash": _TOTAL_DIFFICULTY,
    "eth_getBlockByNumber/get-block-eip7685-requests": _SIZE,
    "eth_getBlockByNumber/get-block-n": _SIZE,
    "eth_getBlockByNumber/get-finalized": _SIZE,
    "eth_getBlockByNumber/get-genesis": "the chain began with a difficulty, ours cannot",
    "eth_getBlockByNumber/get-latest": _SIZE,
    "eth_getBlockByNumber/get-safe": _SIZE,
    "eth_getBlockReceipts/get-block-receipts-latest": _BLOB_FIELDS,
    "eth_getStorageAt/get-storage-invalid-key": _OLD_CODE,
    "eth_getStorageAt/get-storage-invalid-key-too-large": _OLD_CODE,
    "eth_getTransactionByHash/get-blob-tx": _BLOB_FIELDS,
    "eth_getTransactionReceipt/get-blob-tx": _BLOB_FIELDS,
    "eth_sendRawTransaction/send-blob-tx": "blob transactions are refused by design",
}

NEWER: Final[dict[str, str]] = {}

LATE_CHAIN: Final[dict[str, str]] = {}
