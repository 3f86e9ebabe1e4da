"""The families of methods this node serves, put together: what is given to each, and who of the
callers gets which."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from dst.apis.jsonrpc import Method
from dst.crypto.account_key import AccountKey
from dst.execution.chain import Chain
from dst.execution.events import Events
from dst.execution.pool.announcements import Announcements
from dst.execution.pool.service import Source, TransactionPool
from dst.execution.rpc.accounts import Accounts
from dst.execution.rpc.blocks import Blocks
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.call_families import CALL_FAMILIES, call_families
from dst.execution.rpc.calls import Calls
from dst.execution.rpc.chain_info import ChainInfo
from dst.execution.rpc.debug_raw import RawData
from dst.execution.rpc.dev_accounts import DevAccounts, OwnAccounts
from dst.execution.rpc.dev_tools import DevTools, refusals
from dst.execution.rpc.dispatch import Threads, bind, entries
from dst.execution.rpc.fees import Fees
from dst.execution.rpc.filling import Filler, Filling
from dst.execution.rpc.finality import Finality
from dst.execution.rpc.logs import Logs, LogSearch
from dst.execution.rpc.polling import Polling
from dst.execution.rpc.pool_exchange import PoolExchangeMethods
from dst.execution.rpc.sending import Sending, Submitter
from dst.execution.rpc.subscriptions import Subscriptions
from dst.execution.rpc.transaction_status import TransactionStatusMethods
from dst.execution.rpc.transactions import Transactions
from dst.execution.rpc.txpool import TxPool
from dst.execution.sealed import SealedHeight, nobody_knows
from dst.execution.slots import SlotClock

T = TypeVar("T")

FAMILIES: tuple[type, ...] = (
    ChainInfo,
    Accounts,
    *CALL_FAMILIES,
    Filling,
    Sending,
    Blocks,
    Transactions,
    Logs,
    Polling,
    Subscriptions,
    Fees,
    TxPool,
    TransactionStatusMethods,
    PoolExchangeMethods,
    Finality,
    RawData,
    OwnAccounts,
    DevAccounts,
    DevTools,
)
"""Every family there is, in the order of the page `docs/json-rpc.md`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What families are made of."""

    chain: Chain
    pool: TransactionPool
    announcements: Announcements
    events: Events
    threads: Threads
    clock: SlotClock
    peers: int = 0
    dev_keys: tuple[AccountKey, ...] = ()
    """Empty on every network but a dev one."""
    sealed_height: SealedHeight = nobody_knows


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The JSON-RPC as callers meet it."""

    families: tuple[object, ...]
    from_client: Mapping[str, Method]
    from_operator: Mapping[str, Method]
    """The same, but a transaction goes no further: its sender forwards it to all."""
    subscriptions: Subscriptions


def serve_families(given: Given) -> Served:
    chain, pool, threads = given.chain, given.pool, given.threads
    blocks = BlocksById(chain, given.clock)
    search = LogSearch(chain, blocks)
    calls = call_families(chain, blocks, given.clock.seconds_per_slot)
    filler = Filler(chain, pool, threads, _one_of(calls, Calls).estimate_gas)
    info = ChainInfo(chain, given.clock, given.peers)
    subscriptions = Subscriptions(chain, given.clock, given.events, threads)

    def sending(source: Source) -> tuple[Submitter, Sending]:
        submitter = Submitter(pool, source)
        return submitter, Sending(submitter, chain, given.events, threads, given.clock)

    submitter, from_client = sending(Source.CLIENT)
    families: list[object] = [
        info,
        Accounts(blocks, pool),
        *calls,
        Filling(filler),
        from_client,
        Blocks(chain, blocks, pool, threads),
        Transactions(chain, blocks, pool),
        Logs(search),
        Polling(chain, search, given.events, threads),
        subscriptions,
        Fees(chain, blocks),
        TxPool(pool, threads),
        TransactionStatusMethods(chain, pool, threads.read, given.clock),
        PoolExchangeMethods(pool, given.announcements),
        Finality(chain, blocks, threads, given.sealed_height),
        RawData(chain, blocks),
        OwnAccounts(given.dev_keys),
    ]
    refused: dict[str, Method] = {}
    if given.dev_keys:
        families += [
            DevAccounts(given.dev_keys, filler, submitter),
            DevTools(chain, given.events, given.clock),
        ]
        refused = refusals()
    table = entries(families)
    info.serves(table)
    methods = {**refused, **bind(table, threads)}
    _, from_operator = sending(Source.PEER)
    return Served(
        families=tuple(families),
        from_client=methods,
        from_operator={**methods, **bind(entries([from_operator]), threads)},
        subscriptions=subscriptions,
    )


def _one_of(families: Iterable[object], wanted: type[T]) -> T:
    return next(each for each in families if isinstance(each, wanted))
