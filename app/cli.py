"""The command line: reads the arguments, starts the command, and turns whatever ends it into a sentence and a code."""

import os
import re
import sys
from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from app.context import Context
from app.failure import CommandError, Exit
from app.output import note, prepare, say

if TYPE_CHECKING:
    from app.commands import Command, Group

DESCRIPTION = """\
A recording studio for subagents, in a terminal.

A hard bug is given to several subagents at once, each with another strategy, each in a sandbox of its own. Every
model call that they make passes a local recording proxy and is kept: a tape. When a generation ends, an observer
reads the tapes and writes what was learned into observations.md. You curate that file at the gate; the next
generation starts with it. Solved is only what the check says, run by Multitrack itself on the subagent's patch.

`multitrack` alone opens the app. Everything that it does has a command here too."""


class _UsageError(Exception):
    """A mistake in the command line."""


class _Parser(ArgumentParser):
    """Raises where argparse would print its usage and leave."""

    names: tuple[str, ...] = ()
    """The commands, for whoever mistypes one."""

    def error(self, message: str) -> NoReturn:
        wrong = re.search(r"invalid choice: '([^']*)'", message)
        if wrong and self.names:
            near = get_close_matches(wrong[1], self.names, 1)
            message = f"there is no command `{wrong[1]}`" + (f"; did you mean `{near[0]}`?" if near else "")
        stop = "" if message.endswith(("?", ".")) else "."
        raise _UsageError(f"{message}{stop} See `{self.prog} --help`.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. Never raises for what an operator, a machine or a store can do wrong."""
    prepare()
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    debug = "--debug" in own or os.environ.get("MULTITRACK_DEBUG", "") not in ("", "0")
    try:
        code = _run(arguments, debug=debug)
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more on its way out, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.PIPE
    except SystemExit as leaving:  # argparse, after --help
        return leaving.code if isinstance(leaving.code, int) else Exit.FINE
    except KeyboardInterrupt:
        note("interrupted")
        return Exit.INTERRUPTED
    except Exception as error:
        if debug:
            raise
        return _explain(error)
    return code


def _run(arguments: Sequence[str], *, debug: bool) -> int:
    if arguments[:1] == ["--version"]:
        # Before the commands are imported: who asks for the version wants nothing else.
        return _version()
    parser, commands = build_parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        raise _UsageError(f"there is no {unknown[0]} here. See `{_help(options.command)}`.")
    if options.version:
        return _version()
    context = _context(options, debug=debug)
    if options.command is None:
        return _open_app(context, parser)
    return commands[options.command].run(context, options)


def _help(command: str | None) -> str:
    """What shows the help of a command, or of all."""
    return f"multitrack {command} --help" if command else "multitrack --help"


def _version() -> int:
    from importlib.metadata import version

    say(f"multitrack {version('multitrack')}")
    return Exit.FINE


def build_parser() -> "tuple[ArgumentParser, dict[str, Command]]":
    """The parser of everything, and the commands by name."""
    from app.commands import all_groups

    common = _Parser(add_help=False)
    add_common(common, default=SUPPRESS)
    groups = all_groups()
    parser = _Parser(
        prog="multitrack",
        usage="multitrack [--home FOLDER] [--store FILE] [--low-bandwidth] [COMMAND …]",
        description=DESCRIPTION,
        epilog=_epilog(groups),
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="say which version this is")
    add_common(parser, default=None)
    parsers = parser.add_subparsers(
        dest="command", metavar="COMMAND", prog="multitrack", parser_class=_Parser, help=SUPPRESS
    )
    commands = {command.name: command for group in groups for command in group.commands}
    parser.names = tuple(commands)
    for command in commands.values():
        command.configure(
            parsers.add_parser(
                command.name,
                parents=[common],
                description=command.help,
                epilog=command.more,
                formatter_class=RawDescriptionHelpFormatter,
            )
        )
    return parser, commands


def add_common(parser: ArgumentParser, *, default: str | None) -> None:
    """The options that every command takes, before it and behind it."""
    parser.add_argument(
        "--home", metavar="FOLDER", type=Path, default=default, help="where runs are kept (else $MULTITRACK_HOME)"
    )
    parser.add_argument("--store", metavar="FILE", type=Path, default=default, help="another store than the home's")
    parser.add_argument(
        "--low-bandwidth", action="store_true", default=default or False, help="few repaints, for slow links"
    )
    parser.add_argument("--debug", action="store_true", default=default or False, help="show tracebacks")


def _epilog(groups: "tuple[Group, ...]") -> str:
    lines: list[str] = []
    for group in groups:
        lines += [f"{group.title}:", *(f"  {command.name:<14}{command.help}" for command in group.commands), ""]
    lines += ["exit codes:", *(f"  {code:<5}{code.meaning}" for code in Exit), ""]
    lines.append("`multitrack COMMAND --help` says more. RUN may be the beginning of a name, or `last`.")
    return "\n".join(lines)


def _context(options: Namespace, *, debug: bool) -> Context:
    environ = dict(os.environ)
    if options.home is not None:
        environ["MULTITRACK_HOME"] = str(options.home.expanduser().absolute())
    if options.low_bandwidth:
        environ["MULTITRACK_LOW_BANDWIDTH"] = "1"
    store = options.store.expanduser().absolute() if options.store is not None else None
    return Context(environ, store, debug)


def _open_app(context: Context, parser: ArgumentParser) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        parser.print_help()
        note("\nmultitrack: the app needs a terminal; name a command instead.")
        return Exit.USAGE
    from app.studio import Studio

    studio = Studio(context.home, configuration=context.configuration, kept=context.kept)
    studio.run()
    return Exit.FAULT if studio.return_code else Exit.FINE


def _explain(error: Exception) -> int:
    """Say what ended the command, in a sentence; the exit code that goes with it."""
    if isinstance(error, CommandError) and error.placed:
        note(str(error))
        return error.code
    message, code = explained(error)
    note(f"multitrack: {message}")
    return code


def explained(error: Exception) -> tuple[str, int]:
    """What an error is to a person, in a sentence, and its exit code."""
    module = type(error).__module__.partition(".")[0]
    if isinstance(error, CommandError):
        return str(error), error.code
    if isinstance(error, _UsageError):
        return str(error), Exit.USAGE
    if module == "store":
        return str(error), Exit.STORE
    if module in ("sqlalchemy", "sqlite3"):
        return f"the store can't be used: {_first_line(error)}", Exit.STORE
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}", Exit.ENVIRONMENT
    message = f"a fault of its own: {type(error).__name__}: {_first_line(error)}. With --debug it says where."
    return message, Exit.FAULT


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
