"""Conversations that other programs wrote down, brought in as runs. The face of the trade.

A reader (`claude`, `chat`, `trajectories`, `proxied`) makes of a file what is described here; `writing` puts it into a
store. What a file doesn't say is left unknown: `docs/tapes.md` lists what that is for each format.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.domain.limits import Spend, Usage
from store.domain.states import Ending

if TYPE_CHECKING:
    from backends.observer import Observed
    from store.database import Store
    from store.home import Home

MOST = 256 * 1024 * 1024
"""Bytes of one line, or of one conversation, that are read into memory at once."""


class ImportedFileError(Exception):
    """The file can't be brought in. The message says what is wrong, and where in the file."""


@dataclass(frozen=True)
class Done:
    """A tool call that a file tells of beside its messages: what it did, and what came of it. `seconds` is 0 where the
    file doesn't say."""

    action: str
    result: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Asked:
    """A model call, rebuilt. `body` is the request's JSON text; `messages` are what was answered, `response` the
    answer's JSON text. Times are Unix seconds, None where the file doesn't say. `thread` is the agent's own subagent
    that asked, "" for the agent itself, and `under` the tool call that began that one. `error` is "" for an answer.
    `news` are the request's messages that the thread's call before did not have, and `done` what the file tells beside
    them of tools that came after the answer."""

    body: bytes
    messages: Sequence[dict[str, Any]]
    response: bytes
    model: str = ""
    started: float | None = None
    ended: float | None = None
    usage: Usage = field(default_factory=Usage)
    usd: float | None = None
    stop_reason: str = ""
    response_id: str = ""
    thread: str = ""
    under: str = ""
    error: str = ""
    news: Sequence[dict[str, Any]] = ()
    done: Sequence[Done] = ()


@dataclass(frozen=True)
class Protocol:
    """In whose words the calls of a file are: the provider's name, the path of its requests, and the member of their
    body that holds the conversation."""

    provider: str
    path: str
    conversation: str = "messages"


ANTHROPIC = Protocol("anthropic", "/v1/messages")
CHAT = Protocol("openai", "/v1/chat/completions")
RESPONSES = Protocol("openai", "/v1/responses", "input")


@dataclass(frozen=True)
class Verdict:
    """How an attempt ended, by the file's own word, which `word` tells in a sentence. `solved` is False also where the
    file says nothing of it. `patch` is what it submitted."""

    ending: Ending = Ending.SILENT
    detail: str = ""
    solved: bool = False
    word: str = "The file does not say whether it was solved."
    patch: str = ""
    spend: Spend | None = None
    """All that it used, where the file says so for all calls together."""
    news: Sequence[dict[str, Any]] = ()
    """Messages after the last answer: no call has them."""


@dataclass(frozen=True)
class Attempt:
    """One subagent. `calls` are read as they are taken, oldest first; `verdict` is asked for after the last."""

    name: str
    protocol: Protocol
    calls: Callable[[], Iterator[Asked]]
    verdict: Callable[[], Verdict] = Verdict
    model: str = ""


@dataclass(frozen=True)
class Told:
    """What is said to be about one task: a run. `name` is what it is called in the file; `created` is None where the
    file says no time. `notes` are sentences about what is not known."""

    name: str
    title: str
    goal: str
    attempts: Sequence[Attempt]
    created: float | None = None
    notes: Sequence[str] = field(default=())


@dataclass(frozen=True)
class Found:
    """A file that was looked at from end to end: its format, the digest of its content, and what is told in it."""

    format: str
    digest: str
    told: Sequence[Told]


@dataclass(frozen=True)
class Made:
    """A run that a file was made into, what it is called in the file, and whether it was made now."""

    run: str
    name: str
    made: bool


def look(path: Path) -> Found:
    """See what a file is, by its content, and look at all of it. ImportedFileError for one that none of the readers
    knows, or that is damaged; OSError."""
    from backends.imports.looking import look_at

    return look_at(path)


Observe = Callable[["Store", str], "Observed"]
"""Reads the tapes of a run's first generation, and says what they teach."""


def bring(store: "Store", home: "Home", path: Path, found: Found, *, observe: Observe, at: float) -> list[Made]:
    """Make the runs of a file, but those that were made before. What could not be brought in whole is not brought in at
    all. ImportedFileError, StoreError, OSError."""
    from backends.imports.writing import bring_in

    return bring_in(store, home, path, found, observe=observe, at=at)
