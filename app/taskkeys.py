"""Every key of the task file, once: what it may be, what it is when left out, and what it means. The reader, the file
that `multitrack init` writes and the documentation follow this list."""

from dataclasses import dataclass
from typing import Any

from app.taskkinds import (
    Bytes,
    Kind,
    address,
    agent,
    arguments,
    choice,
    deployments,
    flag,
    hosts,
    number,
    patterns,
    size,
    text,
    texts,
    user,
    variable,
    whole,
    word,
)
from store.domain.docker import DockerSettings
from store.domain.limits import Limits
from store.domain.own_price import OwnPrice
from store.domain.route import MOST_RETRIES, ModelRoute, Provider
from store.domain.strategy import Strategy
from store.domain.task import Check, Dirt, Memory, SandboxKind, Task

AGENTS = ("builtin", "claude-code", "codex", "mini-swe-agent", "aider", "opencode")


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
    "sandbox": 'Where the subagents\' commands run. `sandbox = "docker"`, above all tables, is short for its `kind`.',
    "docker": "The subagents' containers, where they have any. Each limit is for one of them.",
    "observer": "What is carried from one generation to the next. The limits are its model's, in each generation.",
    "finish": "What happens at the end.",
    "routes": "Which models answer in place of others; one [[routes]] for each name that is asked for.",
    "upstreams": "Where else models are; one [[upstreams]] for each provider that a route names after an @.",
    "prices": "What models cost you, in place of the public list; one [[prices]] for each.",
    "strategies": "How subagents are told to work; one [[strategies]] for each way. Without any, the built-in ones.",
    "strategies.limits": "Other limits for the subagents of this strategy.",
}
ARRAYS = {"strategies", "routes", "upstreams", "prices"}
PROTOCOLS = ("anthropic", "openai", "gemini", "ollama")

_YEAR = 365 * 24 * 3600.0
_MUCH = 1_000_000.0
_DOCKER = DockerSettings()
_DEFAULT = Task(goal="", repository="", check=Check(""))


def _limits(table: str, own: Limits, none: bool) -> tuple[Key, ...]:
    left_out = "" if none else " Left out: as in [limits]."
    return (
        Key(table, "turns", whole(1, 100_000, none=none), "Model calls." + left_out, own.turns),
        Key(table, "tokens", whole(1, 10**12, none=none), "Tokens, all kinds together." + left_out, own.tokens),
        Key(table, "usd", number(0.01, _MUCH, "US dollars", none=none), "Money." + left_out, own.usd),
        Key(table, "seconds", number(1.0, _YEAR, "seconds", none=none), "Time of work." + left_out, own.seconds),
    )


def _prices() -> tuple[Key, ...]:
    usd = number(0.0, _MUCH, "US dollars")
    return (
        Key("prices", "input", usd, "For a million tokens of input.", required=True),
        Key("prices", "output", usd, "For a million tokens of output.", required=True),
        Key("prices", "cache_read", usd, "For a million read from a cache. Left out: as input."),
        Key("prices", "cache_write", usd, "For a million written to it. Left out: as input."),
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
    Key(
        "model",
        "agent",
        agent(AGENTS),
        "What does the work of a subagent: the built-in one, or a program that is installed on the image.",
        _DEFAULT.agent,
    ),
    Key("model", "name", text("a model's name", empty=False), "The model, in its provider's words.", _DEFAULT.model),
    Key("model", "upstream", address(), 'Base URL of the provider; "" is its own.', _DEFAULT.upstream),
    *_limits("limits", _DEFAULT.limits, none=True),
    *_limits("run_limits", _DEFAULT.run_limits, none=True),
    Key(
        "sandbox",
        "kind",
        choice(*SandboxKind),
        "docker: a container for each. local: a clone in a folder of its own, no wall. "
        "auto: docker where [docker] names an image and an engine answers, else local.",
        _DEFAULT.sandbox,
    ),
    Key(
        "sandbox",
        "tool_seconds",
        number(1.0, 86_400.0, "seconds"),
        "The most that one command of a subagent may take.",
        _DEFAULT.tool_seconds,
    ),
    Key("docker", "image", text("an image's name"), "The image: Git and a shell, and what the check needs.", ""),
    Key(
        "docker",
        "dockerfile",
        text("the path of a file"),
        "A Dockerfile to build the image from, as a path from this file's folder; its own folder is the context.",
        "",
    ),
    Key("docker", "build_arguments", arguments(), "What the Dockerfile's ARGs are.", {}),
    Key("docker", "memory", size(64 << 20), "Memory.", Bytes(_DOCKER.memory)),
    Key("docker", "cpus", number(0.1, 1024.0, "processors"), "Processor time.", _DOCKER.cpus),
    Key("docker", "pids", whole(16, 1_000_000), "Processes and threads.", _DOCKER.pids),
    Key(
        "docker",
        "disk",
        size(64 << 20, none=True),
        "What a workspace may hold, where the engine can hold it to that: `multitrack doctor` says.",
        Bytes(_DOCKER.disk),
    ),
    Key("docker", "read_only", flag(), "Whether the image's own files can't be written to.", _DOCKER.read_only),
    Key("docker", "user", user(), "Whom their programs run as.", _DOCKER.user),
    Key("docker", "runtime", text("a runtime's name"), 'Such as runsc or kata; "" is the engine\'s own.', ""),
    Key(
        "docker",
        "hosts",
        hosts(),
        "Engines to spread them over; without any, the one that the docker command would use.",
        _DOCKER.hosts,
    ),
    Key(
        "observer",
        "injected_tokens",
        whole(0, 100_000),
        "The most that observations may take in a prompt. Few help more than many: 2,000 to 4,000.",
        _DEFAULT.injected_tokens,
    ),
    Key(
        "observer",
        "model",
        text("a model's name"),
        'A model that reads the tapes after the rules have, and proposes what no rule sees; "" for rules alone.',
        _DEFAULT.observer_model,
    ),
    *_limits("observer", _DEFAULT.observer_limits, none=True),
    Key(
        "finish",
        "command",
        text("a shell command"),
        "A shell command of yours, run when the run has ended.",
        _DEFAULT.on_finish,
    ),
    Key(
        "routes",
        "model",
        text("a model's name", empty=False),
        "What is asked for; * stands for anything.",
        required=True,
    ),
    Key("routes", "deployments", deployments(), "Who answers: they share the subagents.", required=True),
    Key("routes", "fallbacks", deployments(), "Who answers when none of them does, in order.", ()),
    Key("routes", "retries", whole(0, MOST_RETRIES), "How often each is tried again.", 0),
    Key(
        "upstreams", "name", word("a word of small letters"), "Its name, as routes write it after the @.", required=True
    ),
    Key("upstreams", "url", address(empty=False), "Base URL, as far as /v1 or /api.", required=True),
    Key("upstreams", "protocol", choice(*PROTOCOLS), "What it speaks.", "openai"),
    Key("upstreams", "key", variable(), 'Where its key is; "" when it needs none. Never the key itself.', ""),
    Key(
        "prices",
        "model",
        text("a model's name", empty=False),
        "The model, as it is asked for or answers.",
        required=True,
    ),
    *_prices(),
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


def _docker(values: dict[str, Any]) -> DockerSettings:
    sizes = {name: int(values[name]) for name in ("memory", "disk")}
    return DockerSettings(**{**values, **sizes, "build_arguments": tuple(values["build_arguments"] or ())})


def build_task(
    values: dict[str, dict[str, Any]], strategies: tuple[Strategy, ...], arrays: dict[str, list[dict[str, Any]]]
) -> Task:
    """A task from the values of its keys, by table, and those of the other arrays of tables."""
    task, batch, model, observer = (values[name] for name in ("task", "generations", "model", "observer"))
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
        sandbox=SandboxKind(values["sandbox"]["kind"]),
        docker=_docker(values["docker"]),
        tool_seconds=values["sandbox"]["tool_seconds"],
        injected_tokens=observer["injected_tokens"],
        observer_model=observer["model"],
        observer_limits=Limits(**{name: observer[name] for name in ("turns", "tokens", "usd", "seconds")}),
        on_finish=values["finish"]["command"],
        routes=tuple(ModelRoute(**route) for route in arrays["routes"]),
        upstreams=tuple(Provider(**upstream) for upstream in arrays["upstreams"]),
        prices=tuple(OwnPrice(**price) for price in arrays["prices"]),
    )
