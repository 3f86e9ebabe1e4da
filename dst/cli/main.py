"""The front door: `dst ROLE --config FILE`, `dst execution export|import|snapshot|restore`,
`dst cluster create`, `dst drain`, `dst slashing export|import`, `dst formats`.

A role's package is imported only when that role runs, so that each process pays for its own imports
alone. Exit codes: 0 asked to stop, 1 crash or not drained, 2 wrong configuration or flag.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from dst import __version__
from dst.cli.execution import add_execution
from dst.runtime.printing import escape_what_cannot_be_shown
from dst.spec.errors import DstError

EXIT_OK: Final = 0
EXIT_BAD_CONFIG: Final = 2

_ROLES: Final = {
    "execution": "execution layer: py-evm behind JSON-RPC and the Engine API",
    "rollup": "rollup node: derives from L1, drives the execution layer, serves the Beacon API",
    "middleware": "middleware: QBFT among the operators, partial signatures, Beacon API",
    "validator": "validator client: holds the key share and the slashing-protection database",
}
_WITH_STORE: Final = ("middleware", "validator")
"""Roles whose store may hold votes: they must be told when a missing one is no loss."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, and return the exit code."""
    escape_what_cannot_be_shown()
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except DstError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_CONFIG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dst", description="Distributed Sequencer Technology: the programs of one operator."
    )
    parser.add_argument("--version", action="version", version=f"dst {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for role, text in _ROLES.items():
        command = commands.add_parser(role, help=text, description=text)
        if role == "execution":
            add_execution(command)
        else:
            _add_role(command, role)
    _add_drain(commands.add_parser("drain", help="before an operator is stopped: lead no more"))
    _add_cluster(commands.add_parser("cluster", help="create a cluster's keys and files"))
    _add_slashing(commands.add_parser("slashing", help="move slashing protection (EIP-3076)"))
    _add_formats(commands)
    return parser


def _add_role(parser: argparse.ArgumentParser, role: str) -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="JSON file")
    if role in _WITH_STORE:
        once = parser.add_mutually_exclusive_group()
        once.add_argument(
            "--new", action="store_true", help="create the store: once, for a key never used before"
        )
        once.add_argument(
            "--rejoin",
            action="store_true",
            help="the store is lost or old: vote and sign only above what the cluster has reached",
        )
    parser.set_defaults(run=_run_role, role=role)


def _run_role(options: argparse.Namespace) -> int:
    run: Callable[..., int] = import_module(f"dst.{options.role}.main").run
    if options.role in _WITH_STORE:
        return run(options.config, new=options.new, rejoin=options.rejoin)
    return run(options.config)


def _add_drain(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Tell an operator's middleware that it is about to be stopped: it finishes what it is "
        "proposing, passes on what it would lead next, and votes on. Exit code 0: stop it now."
    )
    parser.add_argument(
        "--config",
        type=Path,
        required=True,
        metavar="FILE",
        help="middleware.json of the operator",
    )
    parser.add_argument(
        "--within",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="wait so long until nothing is under way (default: 30)",
    )
    parser.add_argument("--undo", action="store_true", help="stay: lead again")
    parser.set_defaults(run=_drain)


def _drain(options: argparse.Namespace) -> int:
    from dst.cli.drain import drain

    return drain(options)


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    create = commands.add_parser(
        "create",
        help="deal a new cluster: keys of all operators in one folder",
        description="Deal a new cluster: one key, split among the operators. Whoever runs this "
        "sees the whole key for a moment; hand each folder operators/op* to its operator alone. "
        "The configuration files that operators write for their roles are in docs/operators.md.",
    )
    create.add_argument("--dir", type=Path, required=True, help="folder to create")
    create.add_argument(
        "--operators", type=int, required=True, metavar="N", help="1, 4, 7 or 10 (3f + 1)"
    )
    create.add_argument("--name", default="dst", help="cluster name (default: dst)")
    create.add_argument(
        "--chain-id",
        type=int,
        metavar="ID",
        help="of the L2, for wallets and signatures (default: 901, or what --chain says)",
    )
    create.add_argument(
        "--chain", type=Path, metavar="FILE", help="JSON with chain constants that replace defaults"
    )
    create.add_argument(
        "--alloc", type=Path, metavar="FILE", help="JSON with genesis accounts (geth's `alloc`)"
    )
    create.add_argument(
        "--dev",
        action="store_true",
        help="fund the ten public test accounts and deploy what tools expect (CREATE2 deployer, "
        "Multicall3, ...); never in production",
    )
    create.set_defaults(run=_create_cluster)


def _create_cluster(options: argparse.Namespace) -> int:
    from dst.cli.cluster import create_cluster, read_json_object
    from dst.spec.primitives import to_hex

    chain = {} if options.chain is None else read_json_object(options.chain, what="chain file")
    alloc = {} if options.alloc is None else read_json_object(options.alloc, what="alloc file")
    if options.dev:
        chain["dev"] = True
    if options.chain_id is not None:
        chain["chain_id"] = options.chain_id
    lock = create_cluster(
        options.dir, operators=options.operators, name=options.name, chain=chain, alloc=alloc
    )
    print(f"cluster {options.name}: {lock.n} operators, {lock.threshold} must sign")
    print(f"group public key {to_hex(lock.group_public_key)}")
    print(f"lock hash {to_hex(lock.lock_hash)}")
    print(f"wrote {options.dir / 'cluster-lock.json'}")
    print("next: each operator writes the configuration files of its roles (docs/operators.md)")
    return EXIT_OK


def _add_slashing(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for verb, text in (
        ("export", "write the store of a stopped validator as EIP-3076 JSON"),
        ("import", "merge EIP-3076 JSON into the store of a stopped validator"),
    ):
        command = commands.add_parser(verb, help=text, description=text)
        command.add_argument("--config", type=Path, required=True, help="validator.json")
        command.add_argument("--file", type=Path, required=True, help="interchange file")
        command.set_defaults(run=_move_protection, verb=verb)


def _move_protection(options: argparse.Namespace) -> int:
    from dst.validator.transfer import export_protection, import_protection

    move = export_protection if options.verb == "export" else import_protection
    print(move(options.config, options.file))
    return EXIT_OK


def _add_formats(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    what = "say what this version reads, writes and speaks, as JSON: compare it before an upgrade"
    commands.add_parser("formats", help=what, description=what).set_defaults(run=_print_formats)


def _print_formats(_: argparse.Namespace) -> int:
    import json

    from dst.cli.formats import formats

    print(json.dumps(formats(), indent=2))
    return EXIT_OK
