"""The `devnet` command: flags in, exit code out. Everything heavy is imported by the command that
needs it.

Exit codes: `devnet.model.command.Exit`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

from devnet import VERSION
from devnet.model.cluster import LEASE_SECONDS, USUAL_SIZE, ClusterKind
from devnet.model.command import DEFAULT_DIR, Exit, escape_what_cannot_be_shown
from dst.spec.errors import DstError

_ABOUT: Final = (
    "A local network of a distributed sequencer: an L1, n operators and a follower, every link "
    "through Toxiproxy."
)


def _refuse(error: BaseException) -> int:
    print(f"error: {error}", file=sys.stderr)
    return Exit.HARNESS


def _leaf(error: BaseException) -> BaseException:
    """The first error inside groups of groups: task groups wrap what their tasks raise."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code; an expected error is one line on stderr."""
    escape_what_cannot_be_shown()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        arguments = _parser(words).parse_args(words)
    except SystemExit as left:
        # argparse ends with 2, which says "inconclusive" here.
        return Exit.HARNESS if left.code else 0
    try:
        code: int = arguments.call(arguments)
        return code
    except DstError as error:
        return _refuse(error)
    except BaseExceptionGroup as group:
        expected, unexpected = group.split(DstError)
        if expected is None or unexpected is not None:
            raise
        return _refuse(_leaf(expected))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left; nothing more to say to it
        return 0


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="devnet", description=_ABOUT)
    parser.add_argument("--version", action="version", version=f"devnet {VERSION}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_up(commands)
    _add_down(commands)
    _add_status(commands)
    _add_logs(commands)
    _add_verify(commands)
    chaos = commands.add_parser(
        "chaos", help="list and run fault scenarios", description="Fault scenarios."
    )
    if words[:1] == ["chaos"]:
        # The scenarios' code costs every other command half a second.
        from devnet.chaos_cli import add_commands

        add_commands(chaos)
    return parser


_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path(DEFAULT_DIR),
        help="folder of the network (default: %(default)s)",
    )


def _add_up(commands: _Commands) -> None:
    up = commands.add_parser(
        "up",
        help="start a network and watch it until Ctrl-C",
        description="Start a network. On a terminal: a live board until Ctrl-C, then everything is "
        "removed but the logs. Without a terminal: the descriptor's path, then a line a block. "
        "Exit codes: 0 asked to stop, 1 a checker fired, 3 could not start.",
    )
    up.add_argument(
        "-d", "--detach", action="store_true", help="return once every node has a sealed block"
    )
    up.add_argument(
        "--cluster",
        type=ClusterKind,
        choices=list(ClusterKind),
        default=ClusterKind.DST,
        help="what sequences: our cluster, or a baseline to compare with (default: %(default)s)",
    )
    up.add_argument(
        "--operators",
        type=int,
        default=None,
        metavar="N",
        help="1, 4, 7 or 10 (default: 4); a single sequencer is 1, stand-bys are 2 or 3",
    )
    up.add_argument(
        "--lease-seconds",
        type=int,
        default=LEASE_SECONDS,
        metavar="S",
        help="of a stand-by's leader, at least 2 (default: %(default)s)",
    )
    up.add_argument(
        "--slot-seconds",
        type=int,
        default=1,
        metavar="S",
        help="block time, whole seconds (default: 1)",
    )
    up.add_argument(
        "--chain-id",
        type=int,
        metavar="ID",
        help="of the L2: a wallet that knows another chain 901 needs a number of its own "
        "(default: 901)",
    )
    up.add_argument(
        "--gas-limit",
        type=int,
        metavar="GAS",
        help="of a block, at most 43008000 (default: 10000000)",
    )
    up.add_argument(
        "--backend",
        choices=("docker", "process"),
        help="default: docker when a daemon answers, else plain processes",
    )
    up.add_argument(
        "--port-offset",
        type=int,
        default=0,
        metavar="K",
        help="added to every port (table: docs/ports.md)",
    )
    up.add_argument(
        "--followers",
        type=int,
        default=1,
        metavar="N",
        help="followers of the operators (default: 1)",
    )
    up.add_argument(
        "--l1-follower",
        action="store_true",
        help="one more, which rebuilds the chain from L1 alone",
    )
    up.add_argument(
        "--version",
        action="append",
        default=[],
        dest="versions",
        metavar="[NODE=]VERSION",
        help="run a node, or all of them, from other code: a revision of this repository, a folder "
        "or wheel (./PATH), or `copy`; may be given several times (docs/operators.md)",
    )
    up.add_argument("--seed", type=int, default=0, help="recorded in the descriptor (default: 0)")
    up.add_argument("--supervise", action="store_true", help=argparse.SUPPRESS)
    _add_dir(up)
    up.set_defaults(call=_up)


def _add_down(commands: _Commands) -> None:
    down = commands.add_parser(
        "down", help="stop the network of DIR and remove what it made, but its logs"
    )
    _add_dir(down)
    down.set_defaults(call=_down)


def _add_status(commands: _Commands) -> None:
    status = commands.add_parser(
        "status",
        help="heights and peers of every node, next leader, what is stopped or cut",
        description="One look at the network in DIR. For each node: decided, sealed and safe "
        "height, how many sealed heights it is behind the others, the L1 block that it sees, the "
        "height of an L1 reset if there was one, (of an operator) the links to other operators "
        "that are up, transactions that could be in the next block, and those behind a missing "
        "nonce. Then what is wrong (no quorum, a standstill, accounts that lack a transaction), "
        "the next height with the leader of its round 0, every program that does not run, and "
        "every link with a fault.",
    )
    status.add_argument("--json", action="store_true", help="one JSON object")
    _add_dir(status)
    status.set_defaults(call=_status)


def _add_logs(commands: _Commands) -> None:
    logs = commands.add_parser("logs", help="logs of all programs, of one node or of one program")
    logs.add_argument(
        "node", nargs="?", metavar="NODE", help="op1, op1.rollup, f1, l1; default: all"
    )
    which = logs.add_mutually_exclusive_group()
    which.add_argument("-f", "--follow", action="store_true", help="go on as lines are written")
    which.add_argument(
        "--previous", action="store_true", help="of the network that was in DIR before the last one"
    )
    _add_dir(logs)
    logs.set_defaults(call=_logs)


def _add_verify(commands: _Commands) -> None:
    verify = commands.add_parser(
        "verify",
        help="prove that every link of the running network is its proxy; cuts each operator off "
        "in turn",
    )
    _add_dir(verify)
    verify.set_defaults(call=_verify)


def _up(arguments: argparse.Namespace) -> int:
    from devnet.network.bring_up import NetworkOptions

    options = NetworkOptions(
        directory=arguments.dir.resolve(),
        cluster=arguments.cluster,
        operators=_operators(arguments),
        lease_seconds=arguments.lease_seconds,
        followers=arguments.followers,
        l1_follower=arguments.l1_follower,
        slot_seconds=arguments.slot_seconds,
        backend=arguments.backend,
        port_offset=arguments.port_offset,
        seed=arguments.seed,
        gas_limit=arguments.gas_limit,
        versions=tuple(arguments.versions),
        **({} if arguments.chain_id is None else {"chain_id": arguments.chain_id}),
    )
    if arguments.detach:
        from devnet.supervisor.detached import start_detached

        return start_detached(options.directory, _supervisor_words(arguments, options.directory))
    from devnet.supervisor.supervise import supervise

    return supervise(options, detached=arguments.supervise)


def _operators(arguments: argparse.Namespace) -> int:
    return USUAL_SIZE[arguments.cluster] if arguments.operators is None else arguments.operators


def _supervisor_words(arguments: argparse.Namespace, directory: Path) -> list[str]:
    """The same command, to be run by a process of its own."""
    words = ["up", "--supervise", "--dir", str(directory)]
    words += ["--cluster", arguments.cluster, "--operators", str(_operators(arguments))]
    for flag in ("slot_seconds", "port_offset", "followers", "seed", "lease_seconds"):
        words += [f"--{flag.replace('_', '-')}", str(getattr(arguments, flag))]
    for version in arguments.versions:
        words += ["--version", version]
    if arguments.backend:
        words += ["--backend", arguments.backend]
    if arguments.chain_id is not None:
        words += ["--chain-id", str(arguments.chain_id)]
    if arguments.gas_limit is not None:
        words += ["--gas-limit", str(arguments.gas_limit)]
    return [*words, "--l1-follower"] if arguments.l1_follower else words


def _down(arguments: argparse.Namespace) -> int:
    from devnet.supervisor.detached import take_down

    return take_down(arguments.dir.resolve())


def _status(arguments: argparse.Namespace) -> int:
    from devnet.views.status import show_status

    return show_status(arguments.dir.resolve(), as_json=arguments.json)


def _logs(arguments: argparse.Namespace) -> int:
    from devnet.views.logs import show_logs

    folder, node = arguments.dir.resolve(), arguments.node
    return show_logs(folder, node, follow=arguments.follow, previous=arguments.previous)


def _verify(arguments: argparse.Namespace) -> int:
    import asyncio

    from devnet.network.bring_up import attached

    async def prove() -> None:
        async with attached(arguments.dir.resolve()) as network:
            for line in await network.proof.full():
                print(line)

    asyncio.run(prove())
    return 0
