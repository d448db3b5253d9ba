"""What a run works on and within which bounds: the task file, once read and found right."""

from dataclasses import dataclass, field
from enum import StrEnum

from store.domain.docker import DockerSettings
from store.domain.limits import Limits
from store.domain.own_price import OwnPrice
from store.domain.route import ModelRoute, Provider
from store.domain.strategy import Strategy


class Dirt(StrEnum):
    """What to do when the repository has uncommitted changes."""

    REFUSE = "refuse"
    TAKE = "take"


class SandboxKind(StrEnum):
    """Where the subagents' commands run."""

    AUTO = "auto"
    """In containers wherever that can be, else locally. A run is ordered with one of the two others."""
    DOCKER = "docker"
    LOCAL = "local"


class Memory(StrEnum):
    """What a lane that is not clean remembers; the last two are controls that show whether memory helps."""

    OWN = "own"
    NONE = "none"
    SHUFFLED = "shuffled"
    """The observations of another task, in place of the run's own."""


@dataclass(frozen=True)
class Check:
    """The command that decides, run by a shell in the repository's root. Exit code 0 is solved.

    `protected` are Git path patterns that a patch may not change: changes to them are left out of what is checked.
    """

    command: str
    seconds: float = 300.0
    protected: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """A whole run's orders. `upstream` is the provider's base URL; "" is the provider's own."""

    goal: str
    repository: str
    check: Check
    revision: str = "HEAD"
    uncommitted: Dirt = Dirt.REFUSE
    generations: int = 5
    lanes: int = 5
    clean_lanes: int = 1
    memory: Memory = Memory.OWN
    strategies: tuple[Strategy, ...] = ()
    """The portfolio to design from; empty is the built-in one."""
    stop_when_solved: bool = True
    """End the run after the first generation in which a patch passes the check."""
    agent: str = "builtin"
    model: str = "claude-sonnet-5-5"
    upstream: str = ""
    limits: Limits = field(default_factory=lambda: Limits(turns=60, tokens=2_000_000, usd=5.0, seconds=3600.0))
    """For each subagent."""
    run_limits: Limits = field(default_factory=lambda: Limits(usd=100.0, seconds=8 * 3600.0))
    sandbox: SandboxKind = SandboxKind.AUTO
    docker: DockerSettings = field(default_factory=DockerSettings)
    """What containers are made of, where there are any."""
    tool_seconds: float = 120.0
    """The most that one command of a subagent may take."""
    injected_tokens: int = 3000
    """The most that observations may take in a prompt. Published practice: 2,000 to 4,000."""
    observer_model: str = ""
    """The model that reads the tapes after the rules have; "" for rules alone."""
    observer_limits: Limits = field(default_factory=lambda: Limits(turns=8, tokens=300_000, usd=1.0, seconds=300.0))
    """For the observer's model, in each generation."""
    on_finish: str = ""
    """A shell command of the operator's, run when the run has ended."""
    routes: tuple[ModelRoute, ...] = ()
    """Which models answer in place of others."""
    upstreams: tuple[Provider, ...] = ()
    """Providers that the routes name beside those that are known."""
    prices: tuple[OwnPrice, ...] = ()
    """What models cost, in place of the public map."""
