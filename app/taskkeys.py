"""Every key of the task file, once: what it may be, what it is when left out, and what it means. The reader, the file
that `multitrack init` writes and the documentation follow this list."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from store.domain.limits import Limits
from store.domain.strategy import Strategy
from store.domain.task import Check, Dirt, Memory, Task

SANDBOXES = ("local",)
AGENTS = ("builtin",)
NO_LIMIT = "none"


class UnfitError(Exception):
    """A value that a key can't have; the message says what is wrong with it."""


@dataclass(frozen=True)
class Kind:
    """What a value may be. `right` says so to people, after "should be"; `read` gives the value, or UnfitError."""

    right: str
    read: Callable[[Any], Any]


def text(right: str = "text", *, empty: bool = True) -> Kind:
    """A string."""

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise UnfitError(f"is {_named(value)}")
        if not empty and not value.strip():
            raise UnfitError("is empty")
        return value

    return Kind(right, read)


def texts(right: str) -> Kind:
    """An array of strings that are not empty."""

    def read(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise UnfitError(f"is {_named(value)}")
        for item in value:
            if not isinstance(item, str) or not item.strip():
                raise UnfitError(f"holds {_named(item) if not isinstance(item, str) else 'an empty text'}")
        return tuple(value)

    return Kind(right, read)


def patterns() -> Kind:
    """Path patterns as in `.gitignore`, each of which can be read."""
    plain = texts("an array of path patterns")

    def read(value: Any) -> tuple[str, ...]:
        from backends.sandboxes import Patterns, SandboxError

        said: tuple[str, ...] = plain.read(value)
        try:
            Patterns(said)
        except SandboxError as error:
            raise UnfitError(f"can't be read: {error}") from error
        return said

    return Kind(plain.right, read)


def choice(*words: str) -> Kind:
    """One of some words."""

    def read(value: Any) -> str:
        if value not in words:
            raise UnfitError(f"is {_shown(value)}")
        return str(value)

    return Kind(" or ".join(f'"{word}"' for word in words), read)


def flag() -> Kind:
    """Yes or no."""

    def read(value: Any) -> bool:
        if not isinstance(value, bool):
            raise UnfitError(f"is {_shown(value)}")
        return value

    return Kind("true or false", read)


def whole(least: int, most: int, *, none: bool = False) -> Kind:
    """A whole number within bounds; with `none` also no limit at all."""
    return _number("a whole number", least, most, int, none=none)


def number(least: float, most: float, unit: str, *, none: bool = False) -> Kind:
    """A number of some unit within bounds."""
    return _number(f"a number of {unit}", least, most, float, none=none)


def _number(what: str, least: float, most: float, cls: type[int] | type[float], *, none: bool) -> Kind:
    bounds = " to ".join(f"{bound:,.0f}" if bound == int(bound) else str(bound) for bound in (least, most))

    def read(value: Any) -> float | None:
        if none and value == NO_LIMIT:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or (cls is int and isinstance(value, float)):
            raise UnfitError(f"is {_shown(value)}")
        if math.isnan(value) or not least <= value <= most:
            raise UnfitError(f"is {_shown(value)}")
        return cls(value)

    return Kind(f"{what} from {bounds}" + (f', or "{NO_LIMIT}"' if none else ""), read)


def address() -> Kind:
    """A base URL, or "" for the provider's own."""

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise UnfitError(f"is {_named(value)}")
        try:
            parts = urlsplit(value)
            good = not value or (parts.scheme in ("http", "https") and bool(parts.hostname))
            bare = not (parts.username or parts.password or parts.query or parts.fragment)
        except ValueError:
            good = bare = False
        if not good:
            raise UnfitError(f"is {_shown(value)}")
        if not bare:
            raise UnfitError("carries a name, a key or a query")
        return value.rstrip("/")

    return Kind('an http or https address, or ""', read)


def _named(value: Any) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", list: "an array", dict: "a table", str: "text"}
    return names.get(type(value), "a date or time")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        shown = value if len(value) <= 40 else value[:39] + "…"
        return f'"{shown}"'
    return str(value) if isinstance(value, int | float) else _named(value)


@dataclass(frozen=True)
class Key:
    """One key. `default` is its value when it is left out, as Python has it; it has none when `required`."""

    table: str
    name: str
    kind: Kind
    help: str
    default: Any = None
    required: bool = False

    @property
    def path(self) -> str:
        """How people write it: `check.command`."""
        return f"{self.table}.{self.name}"


TABLES: dict[str, str] = {
    "task": "What is to be solved, and where.",
    "check": "The command that decides. A subagent's own word never counts: Multitrack runs this on its patch.",
    "generations": "How many attempts, and what they remember.",
    "model": "Who thinks.",
    "limits": "The most that each subagent may use.",
    "run_limits": "The most that the whole run may use.",
    "sandbox": "Where the subagents' commands run.",
    "observer": "What is carried from one generation to the next.",
    "finish": "What happens at the end.",
    "strategies": "How subagents are told to work; one [[strategies]] for each way. Without any, the built-in ones.",
    "strategies.limits": "Other limits for the subagents of this strategy.",
}
ARRAYS = {"strategies"}

_YEAR = 365 * 24 * 3600.0
_MUCH = 1_000_000.0
_DEFAULT = Task(goal="", repository="", check=Check(""))


def _limits(table: str, own: Limits, none: bool) -> tuple[Key, ...]:
    left_out = "" if none else " Left out: as in [limits]."
    return (
        Key(table, "turns", whole(1, 100_000, none=none), "Model calls." + left_out, own.turns),
        Key(table, "tokens", whole(1, 10**12, none=none), "Tokens, all kinds together." + left_out, own.tokens),
        Key(table, "usd", number(0.01, _MUCH, "US dollars", none=none), "Money." + left_out, own.usd),
        Key(table, "seconds", number(1.0, _YEAR, "seconds", none=none), "Time of work." + left_out, own.seconds),
    )


KEYS: tuple[Key, ...] = (
    Key(
        "task",
        "goal",
        text("a description of the bug", empty=False),
        "What is wrong and what is wanted, in words. Every subagent is told this.",
        required=True,
    ),
    Key(
        "task",
        "repository",
        text("the path of a folder", empty=False),
        "The Git repository, as a path from this file's folder. Nothing is written into it.",
        ".",
    ),
    Key("task", "revision", text("a Git revision", empty=False), "Where every subagent starts.", _DEFAULT.revision),
    Key(
        "task",
        "uncommitted",
        choice(*Dirt),
        "Uncommitted changes of the repository: refuse to start, or take them along.",
        _DEFAULT.uncommitted,
    ),
    Key(
        "check",
        "command",
        text("a shell command", empty=False),
        "A shell command, run in the repository's root. It is solved when it exits with 0; it has to fail before.",
        required=True,
    ),
    Key("check", "seconds", number(0.1, 86_400.0, "seconds"), "The most that it may take.", _DEFAULT.check.seconds),
    Key(
        "check",
        "protected",
        patterns(),
        "What a patch may not change, as in .gitignore: the check itself, its tests. Such changes are left out.",
        _DEFAULT.check.protected,
    ),
    Key("generations", "count", whole(1, 100), "At most so many generations.", _DEFAULT.generations),
    Key("generations", "lanes", whole(1, 100), "Subagents in each.", _DEFAULT.lanes),
    Key(
        "generations",
        "clean",
        whole(0, 100),
        "How many of the lanes are without memory: the control that shows whether memory helps.",
        _DEFAULT.clean_lanes,
    ),
    Key(
        "generations",
        "memory",
        choice(Memory.OWN, Memory.NONE),
        "What the other lanes remember: the run's own observations, or none (a control).",
        _DEFAULT.memory,
    ),
    Key(
        "generations",
        "stop_when_solved",
        flag(),
        "End after the first generation in which a patch passes the check.",
        _DEFAULT.stop_when_solved,
    ),
    Key("model", "agent", choice(*AGENTS), "What does the work of a subagent.", _DEFAULT.agent),
    Key("model", "name", text("a model's name", empty=False), "The model, in its provider's words.", _DEFAULT.model),
    Key("model", "upstream", address(), 'Base URL of the provider; "" is its own.', _DEFAULT.upstream),
    *_limits("limits", _DEFAULT.limits, none=True),
    *_limits("run_limits", _DEFAULT.run_limits, none=True),
    Key("sandbox", "kind", choice(*SANDBOXES), "local: a clone in a folder of its own. No wall.", _DEFAULT.sandbox),
    Key(
        "sandbox",
        "tool_seconds",
        number(1.0, 86_400.0, "seconds"),
        "The most that one command of a subagent may take.",
        _DEFAULT.tool_seconds,
    ),
    Key(
        "observer",
        "injected_tokens",
        whole(0, 100_000),
        "The most that observations may take in a prompt. Few help more than many: 2,000 to 4,000.",
        _DEFAULT.injected_tokens,
    ),
    Key(
        "finish",
        "command",
        text("a shell command"),
        "A shell command of yours, run when the run has ended.",
        _DEFAULT.on_finish,
    ),
    Key("strategies", "name", text("a name", empty=False), "Its name, on screens and in the report.", required=True),
    Key(
        "strategies",
        "approach",
        text("a sentence", empty=False),
        "How to go about it, in a sentence.",
        required=True,
    ),
    Key("strategies", "triage", texts("an array of texts"), "What to look at first, in order.", ()),
    Key("strategies", "heuristics", texts("an array of texts"), "Which repairs to prefer.", ()),
    Key("strategies", "model", text("a model's name"), "Another model than the run's; \"\" is the run's.", ""),
    *_limits("strategies.limits", Limits(), none=False),
)


def build_strategy(values: dict[str, Any], limits: dict[str, Any]) -> Strategy:
    """A strategy from the values of its keys."""
    return Strategy(**values, limits=Limits(**limits))


def build_task(values: dict[str, dict[str, Any]], strategies: tuple[Strategy, ...]) -> Task:
    """A task from the values of its keys, by table."""
    task, batch, model = values["task"], values["generations"], values["model"]
    return Task(
        goal=task["goal"].strip(),
        repository=task["repository"],
        check=Check(**values["check"]),
        revision=task["revision"],
        uncommitted=Dirt(task["uncommitted"]),
        generations=batch["count"],
        lanes=batch["lanes"],
        clean_lanes=batch["clean"],
        memory=Memory(batch["memory"]),
        strategies=strategies,
        stop_when_solved=batch["stop_when_solved"],
        agent=model["agent"],
        model=model["name"],
        upstream=model["upstream"],
        limits=Limits(**values["limits"]),
        run_limits=Limits(**values["run_limits"]),
        sandbox=values["sandbox"]["kind"],
        tool_seconds=values["sandbox"]["tool_seconds"],
        injected_tokens=values["observer"]["injected_tokens"],
        on_finish=values["finish"]["command"],
    )
