"""`dst execution`: the role, and its data directory as files."""

import argparse
from pathlib import Path
from typing import Final

EXIT_OK: Final = 0

_COMMANDS: Final = {
    "export": "write blocks as RLP, one after the other (geth's format); also while the role runs",
    "import": "execute and store the blocks of an RLP file; the role must be stopped",
    "snapshot": "copy the data directory as of one moment; also while the role runs",
    "restore": "make the data directory from a snapshot",
}


def add_execution(parser: argparse.ArgumentParser) -> None:
    """`--config` alone runs the role; a command before it works on the data directory."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="JSON file")
    parser.add_argument("--data-dir", metavar="DIR", help="instead of the configuration's data_dir")
    parser.add_argument("--archive", action="store_true", help="keep the state of every block")
    parser.set_defaults(run=lambda options: _run_role(parser, options))
    commands = parser.add_subparsers(metavar="COMMAND")
    for verb, text in _COMMANDS.items():
        command = commands.add_parser(verb, help=text, description=text)
        command.add_argument("--config", type=Path, required=True, help="execution.json")
        if verb in ("export", "import"):
            command.add_argument("--file", type=Path, required=True, help="RLP file")
        else:
            command.add_argument("--dir", type=Path, required=True, help="folder of the snapshot")
        if verb == "export":
            command.add_argument("--first", type=int, default=0, metavar="N", help="default: 0")
            command.add_argument("--last", type=int, metavar="N", help="default: the head")
        command.set_defaults(run=_move, verb=verb)


def _run_role(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    if options.config is None:
        parser.error("the following arguments are required: --config")
    from dst.execution.main import run

    return run(options.config, data_dir=options.data_dir, archive=options.archive)


def _move(options: argparse.Namespace) -> int:
    from dst.execution import transfer

    config: Path = options.config
    match options.verb:
        case "export":
            told = transfer.export_blocks(
                config, options.file, first=options.first, last=options.last
            )
        case "import":
            told = transfer.import_blocks(config, options.file)
        case "snapshot":
            told = transfer.snapshot(config, options.dir)
        case _:
            told = transfer.restore(config, options.dir)
    print(told)
    return EXIT_OK
