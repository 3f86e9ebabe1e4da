"""`prestateTracer`: the accounts and slots that a transaction needed, as they were before it; in
diff mode what it changed in them. Source: geth, built-in tracers."""

from dataclasses import dataclass, field
from typing import Any, Final

from dst.apis.eth import show_word
from dst.execution.evm import opcodes
from dst.execution.evm.tracer import Frame, Step, to_address
from dst.execution.receipts import Receipt
from dst.execution.tracers.base import Budget, ClientTracer, Scene
from dst.spec.primitives import Address, to_hex
from dst.transactions.transaction import authority_of
from dst.transactions.validity import is_delegation

ACCOUNT_BYTES: Final = 150
SLOT_BYTES: Final = 150


@dataclass(slots=True)
class _Before:
    """An account when it was first touched."""

    exists: bool
    balance: int
    nonce: int
    code: bytes
    storage: dict[int, int] = field(default_factory=dict)


class PrestateTracer(ClientTracer):
    watched = opcodes.SLOTS | opcodes.ACCOUNTS | opcodes.CALLS

    def __init__(
        self,
        budget: Budget,
        *,
        diff_mode: bool = False,
        disable_code: bool = False,
        disable_storage: bool = False,
        include_empty: bool = False,
    ) -> None:
        self._budget, self._diff = budget, diff_mode
        self._code, self._storage = not disable_code, not disable_storage
        self._include_empty = include_empty
        self._before: dict[Address, _Before] = {}
        self._created: set[Address] = set()
        self._deleted: set[Address] = set()
        self._new: set[Address] = set()
        """Created by the transaction: they have no state before it."""
        self._fresh: list[tuple[Address, int | None]] = []
        """What the running opcode touched first: accounts, and slots of them."""
        self._scene: Scene | None = None

    def begin(self, scene: Scene) -> None:
        self._scene = scene
        transaction = scene.transaction
        self._touch(transaction.sender)
        self._touch(scene.fee_recipient)
        for each in transaction.authorization_list:
            authority = authority_of(each)
            if authority is not None:
                self._touch(authority)
        if transaction.to:
            self._touch(transaction.to)
            self._touch_delegate(transaction.to)

    def enter(self, frame: Frame) -> None:
        if frame.kind.startswith("CREATE") and any(frame.to):
            self._touch(frame.to)
            self._created.add(frame.to)
        elif frame.kind == "SELFDESTRUCT":
            self._deleted.add(frame.sender)

    def step(self, step: Step) -> None:
        self._fresh.clear()
        arguments = step.top(2)
        if step.opcode in opcodes.SLOTS and arguments:
            self._touch_slot(step.address, arguments[0])
        elif step.opcode in opcodes.ACCOUNTS and arguments:
            self._touch(to_address(arguments[0]))
        elif step.opcode in opcodes.CALLS and len(arguments) == 2:
            self._touch(to_address(arguments[1]))
            self._touch_delegate(to_address(arguments[1]))

    def stepped(self, step: Step) -> None:
        if step.failed_early:
            for address, slot in self._fresh:
                if slot is None:
                    del self._before[address]
                elif address in self._before:
                    del self._before[address].storage[slot]

    def end(self, receipt: Receipt) -> None:
        if self._include_empty:
            return
        for address in self._created:
            before = self._before[address]
            if not before.exists:
                self._new.add(address)

    def result(self) -> dict[str, Any]:
        if self._diff:
            return self._difference()
        return {
            to_hex(address): self._show(each)
            for address, each in self._before.items()
            if address not in self._new
        }

    # looking

    @property
    def _accounts(self) -> Any:
        assert self._scene is not None
        return self._scene.accounts

    def _touch(self, address: Address) -> None:
        if address in self._before:
            return
        accounts = self._accounts
        code = accounts.get_code(address) if self._code else b""
        self._budget.spend(ACCOUNT_BYTES + 2 * len(code))
        self._fresh.append((address, None))
        self._before[address] = _Before(
            exists=not accounts.account_is_empty(address),
            balance=accounts.get_balance(address),
            nonce=accounts.get_nonce(address),
            code=code,
        )

    def _touch_delegate(self, address: Address) -> None:
        """EIP-7702: running an account with a delegation reads the account it points to."""
        code = self._accounts.get_code(address)
        if is_delegation(code):
            self._touch(Address(code[3:]))

    def _touch_slot(self, address: Address, slot: int) -> None:
        if not self._storage:
            return
        self._touch(address)
        storage = self._before[address].storage
        if slot not in storage:
            self._budget.spend(SLOT_BYTES)
            self._fresh.append((address, slot))
            storage[slot] = self._accounts.get_storage(address, slot)

    # showing

    @staticmethod
    def _show(before: _Before) -> dict[str, Any]:
        shown: dict[str, Any] = {"balance": hex(before.balance)}
        if before.code:
            shown["code"] = to_hex(before.code)
        if before.nonce:
            shown["nonce"] = before.nonce
        if before.storage:
            shown["storage"] = _show_storage(before.storage)
        return shown

    def _difference(self) -> dict[str, Any]:
        pre: dict[str, Any] = {}
        post: dict[str, Any] = {}
        for address, before in self._before.items():
            key = to_hex(address)
            if address in self._deleted and self._is_gone(address):
                pre[key] = self._show(before)
                continue
            changed, old_slots, new_slots = self._changes(address, before)
            if not changed and not old_slots and not new_slots:
                continue
            if new_slots:
                changed["storage"] = _show_storage(new_slots)
            post[key] = changed
            if address not in self._new:
                before.storage = old_slots
                pre[key] = self._show(before)
        return {"pre": pre, "post": post}

    def state_diff(self) -> dict[str, Any]:
        """The same difference in the form of OpenEthereum's `stateDiff`."""
        shown: dict[str, Any] = {}
        for address, before in self._before.items():
            accounts = self._accounts
            after = _Before(
                exists=not accounts.account_is_empty(address),
                balance=accounts.get_balance(address),
                nonce=accounts.get_nonce(address),
                code=accounts.get_code(address),
                storage={slot: accounts.get_storage(address, slot) for slot in before.storage},
            )
            if before != after and (before.exists or after.exists):
                shown[to_hex(address)] = _state_diff(before, after)
        return shown

    def _is_gone(self, address: Address) -> bool:
        return not self._accounts.account_exists(address)

    def _changes(
        self, address: Address, before: _Before
    ) -> tuple[dict[str, Any], dict[int, int], dict[int, int]]:
        """(changed fields as they are now, changed slots that were set, changed slots that are)."""
        accounts = self._accounts
        changed: dict[str, Any] = {}
        balance, nonce = accounts.get_balance(address), accounts.get_nonce(address)
        if balance != before.balance:
            changed["balance"] = hex(balance)
        if nonce != before.nonce:
            changed["nonce"] = nonce
        if self._code:
            code = accounts.get_code(address)
            if code != before.code:
                changed["code"] = to_hex(code)
        now = {slot: accounts.get_storage(address, slot) for slot in before.storage}
        different = {slot for slot, old in before.storage.items() if now[slot] != old}
        old_slots = {slot: before.storage[slot] for slot in different if before.storage[slot]}
        new_slots = {slot: now[slot] for slot in different if now[slot]}
        return changed, old_slots, new_slots


def _show_storage(storage: dict[int, int]) -> dict[str, str]:
    return {show_word(slot): show_word(value) for slot, value in storage.items()}


def _state_diff(before: _Before, after: _Before) -> dict[str, Any]:
    def change(old: str, new: str) -> Any:
        if not before.exists:
            return {"+": new}
        if not after.exists:
            return {"-": old}
        return "=" if old == new else {"*": {"from": old, "to": new}}

    slots = {slot for slot, old in before.storage.items() if after.storage[slot] != old}
    return {
        "balance": change(hex(before.balance), hex(after.balance)),
        "nonce": change(hex(before.nonce), hex(after.nonce)),
        "code": change(to_hex(before.code), to_hex(after.code)),
        "storage": {
            show_word(slot): change(show_word(before.storage[slot]), show_word(after.storage[slot]))
            for slot in sorted(slots)
        },
    }
