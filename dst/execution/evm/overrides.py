"""What a call is told to pretend: state overrides written into an overlay, block overrides into an
environment, before anything runs. Nothing of it outlives the call.

Source: execution-apis, `AccountOverride`, `BlockOverrides`; order and refusals as geth's.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dst.apis.overrides import AccountOverride, BlockOverrides, StateOverrides
from dst.crypto.checksum import checksum_address
from dst.execution.environment import BlockEnvironment
from dst.execution.evm.precompiles import PRECOMPILES
from dst.execution.state.overlay import BlockState
from dst.spec.errors import DstError
from dst.spec.primitives import Address

Precompiles = Mapping[bytes, Any]


class OverrideRefused(DstError):
    """Overrides that contradict each other or the precompiles."""


def override_block(environment: BlockEnvironment, overrides: BlockOverrides) -> BlockEnvironment:
    """The environment with every overridden field replaced."""
    wanted = {
        "number": overrides.number,
        "timestamp": overrides.time,
        "gas_limit": overrides.gas_limit,
        "fee_recipient": overrides.fee_recipient,
        "prev_randao": overrides.prev_randao,
        "base_fee_per_gas": overrides.base_fee_per_gas,
        "blob_base_fee": overrides.blob_base_fee,
        "parent_beacon_block_root": overrides.beacon_root,
    }
    given: dict[str, Any] = {name: each for name, each in wanted.items() if each is not None}
    if overrides.block_hashes:
        hashes, real = overrides.block_hashes, environment.ancestor_hash
        given["ancestor_hash"] = lambda number: hashes.get(number) or real(number)
    return replace(environment, **given)


def override_state(
    accounts: BlockState, overrides: StateOverrides, precompiles: Precompiles = PRECOMPILES
) -> Precompiles:
    """Write the overrides as if a transaction before had made them; returns the precompiles that
    are left: a moved one answers at its new address, an overridden one is code.

    Raises: OverrideRefused.
    """
    left, moved_to = dict(precompiles), set[Address]()
    for address, override in overrides.items():
        if address in moved_to:
            raise OverrideRefused(
                f"account {checksum_address(address)} has already been overridden by a precompile"
            )
        target = override.move_precompile_to
        if target is not None:
            _check_move(address, target, left, overrides)
            left[target] = left[address]
            moved_to.add(target)
        left.pop(address, None)
        _override_account(accounts, address, override)
    accounts.begin_transaction()
    return precompiles if left == precompiles else left


def _check_move(
    address: Address, target: Address, precompiles: Precompiles, overrides: StateOverrides
) -> None:
    if address not in precompiles:
        raise OverrideRefused(f"account {checksum_address(address)} is not a precompile")
    if target in overrides:
        raise OverrideRefused(f"account {checksum_address(target)} is already overridden")


def _override_account(accounts: BlockState, address: Address, override: AccountOverride) -> None:
    if override.nonce is not None:
        accounts.set_nonce(address, override.nonce)
    if override.code is not None:
        accounts.set_code(address, override.code)
    if override.balance is not None:
        accounts.set_balance(address, override.balance)
    if override.state is not None:
        accounts.touch_account(address)
        accounts.delete_storage(address)
    for slot, value in (override.state or override.state_diff or {}).items():
        accounts.touch_account(address)
        accounts.set_storage(address, slot, value)
