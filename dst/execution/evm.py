"""The one module that knows py-evm: it executes one block, or one call, on a state root.

py-evm gives the opcodes, call and create semantics, gas rules and the small precompiles. Ours are
the state (flat, with an undo log), transaction validity before any change, the steps of a block,
native BLS12-381, and an opcode loop that can be interrupted. All through its extension points;
nothing in it is patched.

Time. Every run takes an `Interrupt`, called at each message call and every `OPCODES_BETWEEN_CHECKS`
opcodes; it stops the run by raising `ExecutionAborted`. One BN254 pairing (pure Python, about a
quarter of a second a pair) is the longest step between two checks: the precompile checks between
pairs. So a hostile transaction costs a builder its share of the block's time plus one pair, a voter
its round, and no block that holds one is ever decided while n - f voters are honest.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

from eth._utils.address import generate_contract_address
from eth.exceptions import Halt, Revert, VMError
from eth.precompiles.bls12_381 import constants as bls_gas
from eth.precompiles.ecpairing import _process_point as accumulate_bn254_pair
from eth.precompiles.ecpairing import bn128
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.cancun.transaction_context import CancunTransactionContext
from eth.vm.forks.prague.computation import PRAGUE_PRECOMPILES, PragueComputation
from eth.vm.forks.prague.state import PragueState
from eth.vm.forks.spurious_dragon._utils import collect_touched_accounts
from eth.vm.logic.invalid import InvalidOpcode
from eth.vm.message import Message
from eth_utils import ValidationError

from dst.execution import bls_precompiles as bls
from dst.execution.environment import (
    BlockEnvironment,
    BlockResult,
    CallRequest,
    CallResult,
    Interrupt,
    InvalidBlock,
)
from dst.execution.genesis import (
    BEACON_ROOTS_ADDRESS,
    CONSOLIDATION_REQUESTS_ADDRESS,
    HISTORY_STORAGE_ADDRESS,
    WITHDRAWAL_REQUESTS_ADDRESS,
)
from dst.execution.receipts import Log, Receipt
from dst.execution.state import BlockState, StateReader
from dst.mempool.transaction import (
    AccessList,
    Authorization,
    Transaction,
    authority_of,
)
from dst.mempool.validity import (
    GAS_PER_ACCESS_ADDRESS,
    GAS_PER_ACCESS_SLOT,
    GAS_TRANSACTION,
    MAX_NONCE,
    check_in_block,
    floor_gas,
    init_code_gas,
    intrinsic_gas,
    is_delegation,
)
from dst.spec.beacon import Withdrawal
from dst.spec.primitives import Address

RECURSION_LIMIT: Final = 15_000
"""Python frames. py-evm wants 12 * 1024 for a full call depth; py_ecc, which it imports, sets
100,000, and then a hundred kilobytes of `[` overflow the stack of a JSON decoder and end the
process."""
sys.setrecursionlimit(RECURSION_LIMIT)

OPCODES_BETWEEN_CHECKS: Final = 256
"""At 1 to 10 us an opcode: a check every millisecond or so, for under 0.1 % of the time."""
SYSTEM_ADDRESS: Final = Address(bytes.fromhex("fffffffffffffffffffffffffffffffffffffffe"))
SYSTEM_CALL_GAS: Final = 30_000_000
DEPOSIT_CONTRACT_ADDRESS: Final = bytes.fromhex("00000000219ab540356cbb839cbe05303d7705fa")
DEPOSIT_EVENT_TOPIC: Final = bytes.fromhex(
    "649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5"
)
DEPOSIT_REQUEST: Final = b"\x00"
WITHDRAWAL_REQUEST: Final = b"\x01"
CONSOLIDATION_REQUEST: Final = b"\x02"
MAX_REFUND_QUOTIENT: Final = 5
"""EIP-3529: at most a fifth of the gas used comes back."""
GAS_REFUND_PER_KNOWN_AUTHORITY: Final = 12_500
"""EIP-7702: what was paid for a new account comes back when the authority existed."""
WEI_PER_GWEI: Final = 10**9
_CREATE: Final = b""

Computation: TypeAlias = Any


# ── precompiles ─────────────────────────────────────────────────────────────────────────────────


def _native(run: Callable[[bytes], bytes], gas: Callable[[int], int]) -> Callable[[Any], Any]:
    """A py-evm precompile from a pure function and its gas as a function of input length."""

    def precompile(computation: Computation) -> Computation:
        data = bytes(computation.msg.data)
        computation.consume_gas(gas(len(data)), reason="EIP-2537 precompile")
        try:
            computation.output = run(data)
        except bls.BadInput as error:
            raise VMError(str(error)) from None
        return computation

    return precompile


def _msm_gas(
    term_bytes: int, base: int, discounts: Sequence[int], least: int
) -> Callable[[int], int]:
    def gas(length: int) -> int:
        terms = length // term_bytes
        discount = discounts[terms - 1] if 0 < terms <= len(discounts) else least
        return int(terms * base * discount // bls_gas.MSM_MULTIPLIER)

    return gas


def _bn254_pairing(computation: Computation) -> Computation:
    """EIP-197 at EIP-1108 prices, interruptible between pairs."""
    data = bytes(computation.msg.data)
    if len(data) % 192:
        raise VMError("input is no list of pairs")
    computation.consume_gas(45_000 + 34_000 * (len(data) // 192), reason="BN254 pairing")
    product = bn128.FQ12.one()
    for start in range(0, len(data), 192):
        computation.state.interrupt()
        try:
            product = accumulate_bn254_pair(data[start : start + 192], product)
        except ValidationError as error:
            raise VMError(str(error)) from None
    is_one = bn128.final_exponentiate(product) == bn128.FQ12.one()
    computation.output = int(is_one).to_bytes(32, "big")
    return computation


def _address(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


PRECOMPILES: Final = {
    **PRAGUE_PRECOMPILES,
    _address(0x08): _bn254_pairing,
    _address(0x0B): _native(bls.g1_add, lambda _: bls_gas.BLS12_G1_ADD_GAS),
    _address(0x0C): _native(
        bls.g1_msm,
        _msm_gas(
            bls.G1_TERM_BYTES,
            bls_gas.BLS12_G1_MSM_GAS,
            bls_gas.G1_MSM_DISCOUNTS,
            bls_gas.G1_MSM_MAX_DISCOUNT,
        ),
    ),
    _address(0x0D): _native(bls.g2_add, lambda _: bls_gas.BLS12_G2_ADD_GAS),
    _address(0x0E): _native(
        bls.g2_msm,
        _msm_gas(
            bls.G2_TERM_BYTES,
            bls_gas.BLS12_G2_MSM_GAS,
            bls_gas.G2_MSM_DISCOUNTS,
            bls_gas.G2_MSM_MAX_DISCOUNT,
        ),
    ),
    _address(0x0F): _native(
        bls.pairing_check, lambda length: 37_700 + 32_600 * (length // bls.PAIR_BYTES)
    ),
    _address(0x10): _native(bls.map_fp_to_g1, lambda _: bls_gas.BLS12_MAP_FP_G1_GAS),
    _address(0x11): _native(bls.map_fp2_to_g2, lambda _: bls_gas.BLS12_MAP_FP2_G2_GAS),
}


# ── py-evm's extension points ───────────────────────────────────────────────────────────────────


class _Computation(PragueComputation):  # type: ignore[misc]
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


class _State(PragueState):  # type: ignore[misc]
    """py-evm's view of a block; its account database is ours, bound without wrappers."""

    computation_class = _Computation

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

    def commit(self, snapshot: int) -> None:
        """Nothing to do: the undo log is cut when the next transaction begins."""

    def is_address_warm(self, address: Address) -> bool:
        return address in PRECOMPILES or self._account_db.is_address_warm(address)

    def get_ancestor_hash(self, block_number: int) -> bytes:
        distance = self.execution_context.block_number - block_number
        return self._ancestor_hash(block_number) if 1 <= distance <= 256 else b""


# ── a message from outside ──────────────────────────────────────────────────────────────────────


class _Runner:
    """Runs outermost messages on one block's state."""

    def __init__(
        self, reader: StateReader, environment: BlockEnvironment, interrupt: Interrupt
    ) -> None:
        self.accounts = BlockState(reader)
        self.environment = environment
        self.state = _State(self.accounts, environment, interrupt)

    def message(
        self,
        *,
        sender: Address,
        to: Address,
        value: int,
        data: bytes,
        gas: int,
        gas_price: int,
        nonce: int,
        access_list: AccessList = (),
        refund: int = 0,
    ) -> Computation:
        """Run a call or creation whose gas is bought; `nonce` is the sender's before the
        transaction."""
        context = CancunTransactionContext(gas_price=gas_price, origin=sender)
        create_address = generate_contract_address(sender, nonce) if to == _CREATE else None
        self._warm(sender, create_address or to, access_list)
        if create_address is not None:
            message = Message(
                gas=gas,
                to=_CREATE,
                sender=sender,
                value=value,
                data=b"",
                code=data,
                create_address=create_address,
                refund=refund,
            )
            return self._create(message, context)
        code, delegated = self._code(to)
        message = Message(
            gas=gas,
            to=to,
            sender=sender,
            value=value,
            data=data,
            code=code,
            refund=refund,
            is_delegation=delegated,
        )
        return _Computation.apply_message(self.state, message, context)

    def system_call(self, address: Address, data: bytes = b"") -> bytes:
        """Call a predeploy as the protocol itself. Raises: InvalidBlock when it fails (EIP-7002,
        EIP-7251)."""
        self.accounts.begin_transaction()
        message = Message(
            gas=SYSTEM_CALL_GAS,
            to=address,
            sender=SYSTEM_ADDRESS,
            value=0,
            data=data,
            code=self.accounts.get_code(address),
        )
        context = CancunTransactionContext(gas_price=0, origin=SYSTEM_ADDRESS)
        computation = _Computation.apply_computation(self.state, message, context)
        if computation.is_error:
            raise InvalidBlock(f"system call to 0x{address.hex()} failed: {computation.error!r}")
        return bytes(computation.output)

    def _create(self, message: Message, context: CancunTransactionContext) -> Computation:
        if not self.accounts.account_has_code_or_nonce(message.storage_address):
            return _Computation.apply_create_message(self.state, message, context)
        computation = _Computation(self.state, message, context)
        computation.error = VMError("contract address collision")
        return computation

    def _warm(self, sender: Address, target: Address, access_list: AccessList) -> None:
        """EIP-2929, EIP-2930; the fee recipient (EIP-3651) is marked by the computation."""
        self.accounts.mark_address_warm(sender)
        self.accounts.mark_address_warm(target)
        for address, slots in access_list:
            self.accounts.mark_address_warm(address)
            for slot in slots:
                self.accounts.mark_storage_warm(address, slot)

    def _code(self, address: Address) -> tuple[bytes, bool]:
        """Code to run at `address`, through at most one delegation (EIP-7702)."""
        code = self.accounts.get_code(address)
        if not is_delegation(code):
            return code, False
        target = Address(code[3:])
        self.accounts.mark_address_warm(target)
        return self.accounts.get_code(target), True


def _logs(computation: Computation) -> tuple[Log, ...]:
    return tuple(
        Log(address, tuple(topic.to_bytes(32, "big") for topic in topics), bytes(data))
        for address, topics, data in computation.get_log_entries()
    )


def _gas_charged(computation: Computation, gas: int, data: bytes) -> int:
    """Gas used after refund and floor (EIP-3529, EIP-7623)."""
    used: int = gas - computation.get_gas_remaining()
    refund: int = min(computation.get_gas_refund(), used // MAX_REFUND_QUOTIENT)
    return max(used - refund, floor_gas(data))


# ── a block ─────────────────────────────────────────────────────────────────────────────────────


class BlockRun:
    """Executes one block on its parent's state: construct, `apply` each transaction, `finish`.

    A transaction that raises leaves no trace. Source: execution-specs prague `apply_body`.
    """

    def __init__(
        self, reader: StateReader, environment: BlockEnvironment, interrupt: Interrupt
    ) -> None:
        self._environment = environment
        self._runner = _Runner(reader, environment, interrupt)
        self._accounts = self._runner.accounts
        self._receipts: list[Receipt] = []
        self._gas_used = 0
        self._fees = 0
        self._system_call_if_present(BEACON_ROOTS_ADDRESS, environment.parent_beacon_block_root)
        self._system_call_if_present(HISTORY_STORAGE_ADDRESS, environment.parent_hash)

    @property
    def gas_left(self) -> int:
        return self._environment.gas_limit - self._gas_used

    def apply(self, transaction: Transaction) -> Receipt:
        """Execute the next transaction of the block.

        Raises: InvalidTransaction, ExecutionAborted; the state is then as before.
        """
        accounts = self._accounts
        check_in_block(
            transaction,
            accounts,
            chain_id=self._environment.chain_id,
            base_fee_per_gas=self._environment.base_fee_per_gas,
            gas_left=self.gas_left,
        )
        accounts.begin_transaction()
        try:
            receipt = self._execute(transaction)
        except BaseException:
            accounts.discard(0)
            raise
        self._receipts.append(receipt)
        self._gas_used = receipt.cumulative_gas_used
        self._fees += receipt.gas_used * transaction.effective_tip(
            self._environment.base_fee_per_gas
        )
        return receipt

    def finish(self, withdrawals: Iterable[Withdrawal] = ()) -> BlockResult:
        """Withdrawals, requests, state root. The run is over after this. Raises: InvalidBlock."""
        self._accounts.begin_transaction()
        for withdrawal in withdrawals:
            self._withdraw(withdrawal)
        requests = (
            DEPOSIT_REQUEST + b"".join(self._deposit_requests()),
            WITHDRAWAL_REQUEST + self._required_call(WITHDRAWAL_REQUESTS_ADDRESS),
            CONSOLIDATION_REQUEST + self._required_call(CONSOLIDATION_REQUESTS_ADDRESS),
        )
        bloom = 0
        for receipt in self._receipts:
            bloom |= receipt.bloom()
        return BlockResult(
            receipts=tuple(self._receipts),
            gas_used=self._gas_used,
            bloom=bloom,
            requests=tuple(each for each in requests if len(each) > 1),
            fees=self._fees,
            state=self._accounts.commit(),
        )

    def _execute(self, transaction: Transaction) -> Receipt:
        accounts, sender = self._accounts, transaction.sender
        price = transaction.effective_gas_price(self._environment.base_fee_per_gas)
        accounts.delta_balance(sender, -transaction.gas * price)
        accounts.increment_nonce(sender)
        refund = sum(self._delegate(each) for each in transaction.authorization_list)
        computation = self._runner.message(
            sender=sender,
            to=transaction.to,
            value=transaction.value,
            data=transaction.data,
            gas=transaction.gas - intrinsic_gas(transaction),
            gas_price=price,
            nonce=transaction.nonce,
            access_list=transaction.access_list,
            refund=refund,
        )
        gas_used = _gas_charged(computation, transaction.gas, transaction.data)
        accounts.delta_balance(sender, (transaction.gas - gas_used) * price)
        tip = price - self._environment.base_fee_per_gas
        accounts.delta_balance(self._environment.fee_recipient, gas_used * tip)
        self._clear_accounts(computation)
        created = computation.msg.storage_address if transaction.is_create else None
        return Receipt(
            type_id=transaction.type_id,
            succeeded=not computation.is_error,
            cumulative_gas_used=self._gas_used + gas_used,
            gas_used=gas_used,
            effective_gas_price=price,
            contract_address=created,
            logs=_logs(computation),
        )

    def _clear_accounts(self, computation: Computation) -> None:
        """Self-destructed accounts (EIP-6780), then touched empty ones (EIP-161)."""
        for address in computation.get_accounts_for_deletion():
            self._accounts.delete_account(address)
        for address in collect_touched_accounts(computation):
            self._delete_if_empty(address)

    def _delete_if_empty(self, address: Address) -> None:
        accounts = self._accounts
        if accounts.account_exists(address) and accounts.account_is_empty(address):
            accounts.delete_account(address)

    def _delegate(self, authorization: Authorization) -> int:
        """Set one EIP-7702 delegation; returns its refund. One that does not hold is skipped."""
        if authorization.chain_id not in (0, self._environment.chain_id):
            return 0
        if authorization.nonce >= MAX_NONCE:
            return 0
        authority = authority_of(authorization)
        if authority is None:
            return 0
        accounts = self._accounts
        accounts.mark_address_warm(authority)
        code = accounts.get_code(authority)
        if (code and not is_delegation(code)) or (
            accounts.get_nonce(authority) != authorization.nonce
        ):
            return 0
        refund = GAS_REFUND_PER_KNOWN_AUTHORITY if accounts.account_exists(authority) else 0
        if any(authorization.address):
            accounts.set_code(authority, b"\xef\x01\x00" + authorization.address)
        else:
            accounts.delete_code(authority)
        accounts.increment_nonce(authority)
        return refund

    def _withdraw(self, withdrawal: Withdrawal) -> None:
        address = Address(withdrawal.address)
        self._accounts.delta_balance(address, withdrawal.amount * WEI_PER_GWEI)
        self._delete_if_empty(address)

    def _system_call_if_present(self, address: Address, data: bytes) -> None:
        """EIP-4788, EIP-2935: no contract there, no call; a failing call changes nothing."""
        if not self._accounts.get_code(address):
            return
        checkpoint = self._accounts.record()
        try:
            self._runner.system_call(address, data)
        except InvalidBlock:
            self._accounts.discard(checkpoint)

    def _required_call(self, address: Address) -> bytes:
        if not self._accounts.get_code(address):
            raise InvalidBlock(
                f"no system contract at 0x{address.hex()}: the genesis lacks a Prague predeploy"
            )
        return self._runner.system_call(address)

    def _deposit_requests(self) -> Iterable[bytes]:
        """EIP-6110, for a chain that has the deposit contract."""
        for receipt in self._receipts:
            for log in receipt.logs:
                if log.address == DEPOSIT_CONTRACT_ADDRESS and log.topics[:1] == (
                    DEPOSIT_EVENT_TOPIC,
                ):
                    yield _deposit_request(log.data)


_DEPOSIT_LAYOUT: Final = ((160, 48), (256, 32), (320, 8), (384, 96), (512, 8))
"""Position and length of public key, withdrawal credentials, amount, signature, index (EIP-6110).
"""


def _deposit_request(data: bytes) -> bytes:
    """Raises: InvalidBlock when the event is laid out otherwise."""
    words = [int.from_bytes(data[at : at + 32], "big") for at in range(0, 160, 32)]
    lengths = [
        int.from_bytes(data[position : position + 32], "big") for position, _ in _DEPOSIT_LAYOUT
    ]
    if (
        len(data) != 576
        or words != [position for position, _ in _DEPOSIT_LAYOUT]
        or lengths != [length for _, length in _DEPOSIT_LAYOUT]
    ):
        raise InvalidBlock("deposit event with an invalid layout")
    return b"".join(
        data[position + 32 : position + 32 + length] for position, length in _DEPOSIT_LAYOUT
    )


# ── a call ──────────────────────────────────────────────────────────────────────────────────────


def call(
    reader: StateReader,
    environment: BlockEnvironment,
    request: CallRequest,
    interrupt: Interrupt,
) -> CallResult:
    """Run a message on a state without keeping anything; gas is free, value must be owned.

    Raises: ExecutionAborted.
    """
    runner = _Runner(reader, environment, interrupt)
    intrinsic = _call_intrinsic_gas(request)
    if request.gas < intrinsic:
        return _failed(f"intrinsic gas too low: gas {request.gas}, minimum needed {intrinsic}")
    nonce = runner.accounts.get_nonce(request.sender)
    runner.accounts.increment_nonce(request.sender)
    try:
        computation = runner.message(
            sender=request.sender,
            to=request.to,
            value=request.value,
            data=request.data,
            gas=request.gas - intrinsic,
            gas_price=request.gas_price,
            nonce=nonce,
            access_list=request.access_list,
        )
    except VMError as error:  # the outermost message itself: value above the balance
        return _failed(str(error))
    used = request.gas - computation.get_gas_remaining()
    charged = _gas_charged(computation, request.gas, request.data)
    return CallResult(
        output=bytes(computation.output),
        gas_used=charged,
        gas_needed=max(used, charged),
        error=_describe(computation.error) if computation.is_error else None,
        reverted=computation.is_error and isinstance(computation.error, Revert),
        logs=_logs(computation),
    )


def _call_intrinsic_gas(request: CallRequest) -> int:
    zeros = request.data.count(0)
    gas = GAS_TRANSACTION + 4 * zeros + 16 * (len(request.data) - zeros)
    if not request.to:
        gas += 32_000 + init_code_gas(request.data)
    for _, slots in request.access_list:
        gas += GAS_PER_ACCESS_ADDRESS + GAS_PER_ACCESS_SLOT * len(slots)
    return gas


def _failed(error: str) -> CallResult:
    return CallResult(output=b"", gas_used=0, gas_needed=0, error=error, reverted=False)


_WORDS: Final = {
    "OutOfGas": "out of gas",
    "Revert": "execution reverted",
    "InvalidInstruction": "invalid opcode",
    "InvalidJumpDestination": "invalid jump destination",
    "InsufficientStack": "stack underflow",
    "FullStack": "stack limit reached 1024 (1023)",
    "WriteProtection": "write protection",
    "OutOfBoundsRead": "return data out of bounds",
    "InsufficientFunds": "insufficient balance for transfer",
    "ReservedBytesInCode": "invalid code: must not begin with 0xef",
}
"""py-evm's error classes in geth's words."""


def _describe(error: VMError) -> str:
    return _WORDS.get(type(error).__name__, str(error) or type(error).__name__)
