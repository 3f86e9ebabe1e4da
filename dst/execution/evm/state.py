"""py-evm's view of a block; its account database is ours, bound without wrappers."""

from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.prague.state import PragueState

from dst.execution.environment import BlockEnvironment, Interrupt
from dst.execution.state.overlay import BlockState


class EvmState(PragueState):  # type: ignore[misc]
    def __init__(
        self, accounts: BlockState, environment: BlockEnvironment, interrupt: Interrupt
    ) -> None:
        self.execution_context = ExecutionContext(
            coinbase=environment.fee_recipient,
            timestamp=environment.timestamp,
            block_number=environment.number,
            difficulty=0,
            mix_hash=environment.prev_randao,
            gas_limit=environment.gas_limit,
            prev_hashes=(),
            chain_id=environment.chain_id,
            base_fee_per_gas=environment.base_fee_per_gas,
            excess_blob_gas=0,
        )
        self.accounts = self._account_db = accounts
        self._ancestor_hash = environment.ancestor_hash
        self._blob_base_fee = environment.blob_base_fee
        self.interrupt = interrupt
        self.get_balance = accounts.get_balance
        self.set_balance = accounts.set_balance
        self.delta_balance = accounts.delta_balance
        self.get_nonce = accounts.get_nonce
        self.get_code = accounts.get_code
        self.get_storage = accounts.get_storage
        self.set_storage = accounts.set_storage
        self.account_exists = accounts.account_exists
        self.account_is_empty = accounts.account_is_empty
        self.touch_account = accounts.touch_account
        self.is_address_warm = accounts.is_address_warm
        self.mark_address_warm = accounts.mark_address_warm
        self.is_storage_warm = accounts.is_storage_warm
        self.mark_storage_warm = accounts.mark_storage_warm
        self.get_transient_storage = accounts.get_transient_storage
        self.set_transient_storage = accounts.set_transient_storage
        self.snapshot = accounts.record
        self.revert = accounts.discard

    @property
    def blob_base_fee(self) -> int:
        return self._blob_base_fee

    def commit(self, snapshot: int) -> None:
        """Nothing to do: the undo log is cut when the next transaction begins."""

    def get_ancestor_hash(self, block_number: int) -> bytes:
        distance = self.execution_context.block_number - block_number
        return self._ancestor_hash(block_number) if 1 <= distance <= 256 else b""
