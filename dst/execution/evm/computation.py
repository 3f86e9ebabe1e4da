"""py-evm's extension points: its message call with our loop, its view of a block over our state."""

from typing import Any, Final, TypeAlias

from eth.exceptions import Halt
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.forks.prague.state import PragueState
from eth.vm.logic.invalid import InvalidOpcode

from dst.execution.environment import BlockEnvironment, Interrupt
from dst.execution.evm.precompiles import PRECOMPILES
from dst.execution.state.overlay import BlockState
from dst.spec.primitives import Address

OPCODES_BETWEEN_CHECKS: Final = 256
"""At 1 to 10 us an opcode: a check every millisecond or so, for under 0.1 % of the time."""

Computation: TypeAlias = Any


class EvmComputation(PragueComputation):  # type: ignore[misc]
    """py-evm's message call with an opcode loop that can be interrupted."""

    _precompiles = PRECOMPILES
    _handlers = tuple(
        PragueComputation.opcodes.get(number, InvalidOpcode(number)) for number in range(256)
    )

    @classmethod
    def apply_computation(
        cls,
        state: Any,
        message: Any,
        transaction_context: Any,
        parent_computation: Computation | None = None,
    ) -> Computation:
        state.interrupt()
        with cls(state, message, transaction_context) as computation:
            # The parent, not `sender == origin`, tells the outermost call: since EIP-7702 the
            # origin may have code of its own and be in the middle of the call tree.
            if parent_computation is None:
                computation.contracts_created = []
            else:
                computation.contracts_created = parent_computation.contracts_created
            if message.is_create:
                computation.contracts_created.append(message.storage_address)
            precompile = cls._precompiles.get(message.code_address)
            if precompile is None:
                cls._run(computation, state.interrupt)
            elif not message.is_delegation:
                precompile(computation)
        return computation

    @classmethod
    def _run(cls, computation: Computation, interrupt: Interrupt) -> None:
        handlers = cls._handlers
        left = OPCODES_BETWEEN_CHECKS
        try:
            for opcode in computation.code:
                handlers[opcode](computation=computation)
                left -= 1
                if not left:
                    interrupt()
                    left = OPCODES_BETWEEN_CHECKS
        except Halt:
            pass


class EvmState(PragueState):  # type: ignore[misc]
    """py-evm's view of a block; its account database is ours, bound without wrappers."""

    computation_class = EvmComputation

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
        self._account_db = accounts
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

    def is_address_warm(self, address: Address) -> bool:
        return address in PRECOMPILES or self._account_db.is_address_warm(address)

    def get_ancestor_hash(self, block_number: int) -> bytes:
        distance = self.execution_context.block_number - block_number
        return self._ancestor_hash(block_number) if 1 <= distance <= 256 else b""
