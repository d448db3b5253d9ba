"""`settings`: where the settings are, what they are, and what is wrong with them."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from app import actions, keynames
from app.commands import Command, add_json
from app.context import Context
from app.failure import CommandError, Exit
from app.output import emit, note, say

_MORE = """\
Prints a settings file with every key: those that have their default are commented out. --write makes that file to
begin with, where there is none yet. Themes of your own are files in its folder's `themes`; docs/screens.md says what
they hold. The app takes changes of both at once.

The exit code is 2 when something in the files is wrong; the app starts all the same."""


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("--write", action="store_true", help="make the settings file, if there is none")
    add_json(parser)


def _settings(context: Context, options: Namespace) -> int:
    from app import themefiles
    from app.settings import OPTIONS, document, told

    configuration = context.configuration
    own, bad = themefiles.own(configuration.themes)
    themes = [*themefiles.ours(), *own]
    settings, problems = configuration.read(themes)
    if options.write:
        _write(configuration.file, document(settings))
    wrong: list[tuple[Path, Any]] = [*bad, *((configuration.file, problem) for problem in problems)]
    if options.json:
        facts = {
            "file": str(configuration.file),
            "exists": configuration.file.exists(),
            "screen": {option.name: getattr(settings, option.name) for option in OPTIONS},
            "themes": themes,
            "keys": {
                action.id: [keynames.written(key) for key in action.keys] for action in actions.with_keys(settings.keys)
            },
            "problems": [{"file": str(path), **vars(problem)} for path, problem in wrong],
        }
        emit(facts, indent=2)
    elif not options.write:
        there = "" if configuration.file.exists() else " (there is none yet)"
        say(f"# {configuration.file}{there}\n# Themes: {', '.join(themes)}\n")
        say(document(settings).rstrip())
    if not options.json:
        for path, problem in wrong:
            note(told(path, problem))
    return Exit.USAGE if wrong else Exit.FINE


def _write(path: Path, content: str) -> None:
    """Make the file; one that is there stays as it is."""
    if path.exists():
        note(f"{path} is there already, and stays as it is.")
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(content)
    except OSError as error:
        raise CommandError(f"{path} can't be written ({error.strerror}).", Exit.ENVIRONMENT) from error
    note(f"{path} is made: every key with its default.")


COMMAND = Command("settings", "Where the settings are, and every key with its default.", _settings, _configure, _MORE)
