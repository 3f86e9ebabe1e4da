"""Where our answers may differ from the recorded ones, each with its reason. A line whose
conversation passes fails the run: then it goes."""

from typing import Final

NOT_SERVED: Final[dict[str, str]] = {}
"""Method -> reason."""

_BLOBS: Final = "blob transactions, their fields and fees: this chain refuses them by design"
_OLD_CODE: Final = "an error code that later recordings changed to ours"
_OLD_CHAIN: Final = "asks of a chain whose head is decades old: we say that we are behind"
_EARLIER: Final = "needs blocks before the one that the kept state belongs to"
_OTHER_BLOCK: Final = "recorded on another chain: its transactions differ in kind and number"
_RETURN_DATA: Final = "a reverted call's returnData repeats its error's data, recordings have 0x"

PRAGUE_CHAIN: Final[dict[str, str]] = {
    "eth_getBlockByNumber/get-block-eip7685-requests": _BLOBS,
    "eth_getBlockByNumber/get-finalized": _BLOBS,
    "eth_getBlockByNumber/get-genesis": "the chain began with a difficulty, ours cannot",
    "eth_getBlockByNumber/get-latest": _BLOBS,
    "eth_getBlockByNumber/get-safe": _BLOBS,
    "eth_getBlockReceipts/get-block-receipts-latest": _BLOBS,
    "eth_getStorageAt/get-storage-invalid-key": _OLD_CODE,
    "eth_getStorageAt/get-storage-invalid-key-too-large": _OLD_CODE,
    "eth_getTransactionByHash/get-blob-tx": _BLOBS,
    "eth_getTransactionReceipt/get-blob-tx": _BLOBS,
    "eth_sendRawTransaction/send-blob-tx": _BLOBS,
    "eth_syncing/check-syncing": _OLD_CHAIN,
}

NEWER: Final[dict[str, str]] = {
    "debug_traceBlockByHash/trace-block-with-transactions": _OTHER_BLOCK,
    "debug_traceBlockByNumber/trace-block-memory-encoding": _OTHER_BLOCK,
    "debug_traceBlockByNumber/trace-block-return-data-behavior": _OTHER_BLOCK,
    "debug_traceBlockByNumber/trace-block-storage-encoding": _OTHER_BLOCK,
    "debug_traceBlockByNumber/trace-block-storage-snapshot-timing": _OTHER_BLOCK,
    "debug_traceBlockByNumber/trace-block-with-transactions": _OTHER_BLOCK,
    "debug_traceTransaction/trace-contract-call": _OTHER_BLOCK,
    "debug_traceTransaction/trace-legacy-transfer": _OTHER_BLOCK,
    "eth_config/get-config": "recorded on a chain with Osaka: one precompile more",
}

_SIMULATE: Final = "eth_simulateV1/ethSimulate-"

LATE_CHAIN: Final[dict[str, str]] = {
    "eth_estimateGas/estimate-with-eip4844": _BLOBS,
    f"{_SIMULATE}basefee-too-low-with-validation-38012": _OLD_CODE,
    f"{_SIMULATE}blobs": _BLOBS,
    f"{_SIMULATE}blockhash-simple": _EARLIER,
    f"{_SIMULATE}blockhash-start-before-head": _EARLIER,
    f"{_SIMULATE}check-invalid-nonce": _OLD_CODE,
    f"{_SIMULATE}empty-with-block-num-set-firstblock": _EARLIER,
    f"{_SIMULATE}empty-with-block-num-set-minusone": _EARLIER,
    f"{_SIMULATE}eth-send-should-not-produce-logs-on-revert": _RETURN_DATA,
    f"{_SIMULATE}eth-send-should-produce-no-logs-on-forward-revert": _OLD_CODE,
    f"{_SIMULATE}fee-recipient-receiving-funds": _OLD_CODE,
    f"{_SIMULATE}gas-fees-and-value-error-38014-with-validation": _OLD_CODE,
    f"{_SIMULATE}simple-no-funds-with-validation": _OLD_CODE,
    f"{_SIMULATE}simple-no-funds-with-validation-without-nonces": _OLD_CODE,
    f"{_SIMULATE}simple-send-from-contract-with-validation": _OLD_CODE,
    f"{_SIMULATE}use-as-many-features-as-possible": _EARLIER,
}
