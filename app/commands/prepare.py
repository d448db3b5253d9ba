"""`init`, `doctor`, `login` and `logout`: what comes before a run."""

import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from app.commands import Command, Group, add_json, add_taskfile, settings
from app.context import TASK_FILE, Context
from app.failure import CommandError, Exit
from app.output import emit, note, say


def _configure_init(parser: ArgumentParser) -> None:
    add_taskfile(parser)
    parser.add_argument("--goal", metavar="TEXT", default="", help="what is wrong and what is wanted")
    parser.add_argument("--check", metavar="COMMAND", help="the command that decides (guessed from the repository)")


def _configure_doctor(parser: ArgumentParser) -> None:
    add_taskfile(parser)
    add_json(parser)


def _init(context: Context, options: Namespace) -> int:
    from app.template import Guess, guess, named, template

    file: Path = options.taskfile / TASK_FILE if options.taskfile.is_dir() else options.taskfile
    folder = file.absolute().parent
    repository = _repository(folder)
    found = guess(repository or folder, context.environ)
    if options.check is not None:
        found = Guess(options.check, named(options.check, repository or folder) + (found.protected if found else ()))
    relative = os.path.relpath(repository or folder, folder)
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(template(goal=options.goal, repository=relative, found=found))
    except FileExistsError as error:
        raise CommandError(
            f"{file} is there already, and stays as it is. Name another file, or move it away."
        ) from error
    say(f"{file} is written.")
    if repository is None:
        say(f"{folder} is in no Git repository: `git init`, and commit what a run shall start from.")
    missing = ["say in it what is to be solved (task.goal)"] if not options.goal else []
    if found is None:
        missing.append("name the command that decides (check.command): none could be guessed here")
    else:
        say(f"The check: {found.command}")
    say(f"Next: {'; '.join(missing) + '; then ' if missing else ''}`multitrack doctor`, and `multitrack run`.")
    return Exit.FINE


def _repository(folder: Path) -> Path | None:
    """The root of the repository that the folder is in; None when it is in none."""
    return next((above for above in (folder, *folder.parents) if (above / ".git").exists()), None)


def _doctor(context: Context, options: Namespace) -> int:
    from app.doctor import Level, examine

    findings = []
    for finding in examine(context.home, context.environ, options.taskfile):
        findings.append(finding)
        if not options.json:
            first, *rest = finding.said.splitlines() or [""]
            say(f"{finding.level:<5} {finding.name:<11} {first}")
            for line in [*rest, *([f"→ {finding.todo}"] if finding.todo else [])]:
                say(f"{'':<17} {line}")
    failed = any(finding.level is Level.FAIL for finding in findings)
    if options.json:
        emit([{"check": f.name, "level": f.level, "said": f.said, "todo": f.todo} for f in findings])
    elif not failed:
        say("\nEverything that is needed is here.")
    return Exit.ENVIRONMENT if failed else Exit.FINE


def _configure_login(parser: ArgumentParser) -> None:
    from app.credentials import PROVIDERS

    parser.add_argument(
        "provider",
        metavar="PROVIDER",
        nargs="?",
        choices=tuple(PROVIDERS),
        default="anthropic",
        help=f"whose: {', '.join(PROVIDERS)} (anthropic, which runs ask)",
    )


def _login(context: Context, options: Namespace) -> int:
    from app.credentials import PROVIDERS, VARIABLE, save

    if sys.stdin.isatty():
        from getpass import getpass

        key = getpass(f"{PROVIDERS[options.provider]} API key (it is not shown): ")
    else:
        key = sys.stdin.readline()
    file = save(context.environ, key, options.provider)
    say(f"Kept in {file}, readable by you alone.")
    if options.provider == "anthropic" and context.environ.get(VARIABLE):
        note(f"{VARIABLE} is set, and goes before it.")
    return Exit.FINE


def _logout(context: Context, options: Namespace) -> int:
    from app.credentials import VARIABLE, forget

    file = forget(context.environ)
    say(f"{file} is removed." if file else "There was no key to remove.")
    if context.environ.get(VARIABLE):
        note(f"{VARIABLE} is still set.")
    return Exit.FINE


GROUP = Group(
    "prepare",
    (
        Command("init", "Write a task file with every key explained, and the check guessed.", _init, _configure_init),
        Command("doctor", "Look what is missing here, and say what to do.", _doctor, _configure_doctor),
        Command(
            "login",
            "Keep the provider's key in a file that you alone can read.",
            _login,
            _configure_login,
            more="The key is asked for without echo, or read from standard input: it is never an argument.",
        ),
        Command("logout", "Remove that file.", _logout),
        settings.COMMAND,
    ),
)
