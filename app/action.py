"""What the operator can do, one thing."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Action:
    """`keys` are Textual key names, the first is the one shown. `where` names the screens it works on. `twin` is its
    command-line form, "" where the action only moves the screen."""

    id: str
    title: str
    help: str
    keys: tuple[str, ...]
    where: tuple[str, ...]
    twin: str = ""
    footer: bool = True
