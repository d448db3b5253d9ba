"""Whether a tape has the answer to a request: the forms of a request that are compared, and what may differ in them.

The **match key** covers all of a request but what differs from run to run though nothing else does: it is the third
of the forms that `store.domain.canonical` lists. The **structural key** covers only its build: roles, kinds of blocks,
names of tools.

What is taken to be the same is said by a `MatchPolicy`; `docs/replay.md` explains it, `tests/vectors/matching.json`
shows it. Two runs of a real agent on the same input differed in its session's id, the provider's ids of tool calls, and
an agent's id that a result repeats.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from store.domain.canonical import digest

Names = Mapping[str, str]
"""Words that are known to be other ones in another run, such as a sandbox's folder, with what stands in their place."""


@dataclass(frozen=True)
class Request:
    """A request to be matched. `path` is with its query; `body` is a JSON value, bytes that are none, or None."""

    method: str
    path: str
    body: Any = None


@dataclass(frozen=True)
class MatchPolicy:
    """What may differ between a recorded request and the one that is asked. All else counts, unknown members too."""

    members: frozenset[str] = frozenset(
        {"metadata", "user", "safety_identifier", "prompt_cache_key", "client_metadata", "store", "service_tier"}
    )
    """Members of a body that say who asks, or how the answer is handled: left out."""
    sampling: bool = True
    """Temperature and its kind: a tape has one answer, however it was drawn."""
    cache_markers: bool = True
    billing: bool = True
    """What a client writes into its system prompt for billing, which counts its calls."""
    ids: bool = True
    """Ids of messages, tool calls, responses, agents and sessions, UUIDs and Git's hashes of commits: each is
    known by the order of its first appearance, so that what refers to what still counts."""
    dates: bool = True
    """Dates and times of day."""
    durations: bool = True
    """Times that were measured: those with a fraction, or in less than seconds."""
    places: bool = True
    """Where programs happen to be: temporary folders, ports on loopback, addresses in memory."""


DEFAULT = MatchPolicy()

_SAMPLING = frozenset({"temperature", "top_p", "top_k", "topP", "topK", "seed", "frequency_penalty"}) | frozenset(
    {"presence_penalty", "presencePenalty", "frequencyPenalty", "logit_bias"}
)
_CACHE_MARKERS = frozenset({"cache_control", "prompt_cache_retention"})
_ID_MEMBERS = frozenset({"id", "tool_use_id", "tool_call_id", "call_id", "item_id", "response_id"}) | frozenset(
    {"previous_response_id", "session_id", "conversation_id", "thread_id", "request_id", "container", "file_id"}
)
_THE_TOOLS_OWN = {"tool_use": "input", "functionCall": "args", "functionResponse": "response"}
"""Members that are a tool's own business, by the kind of block: an `id` in there is an argument like any other."""
_BILLING = "x-anthropic-billing-header:"
_SECRET_QUERY = frozenset({"key", "api_key", "access_token"})

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6}"
_CLOCK = r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?:\s?[AP]M)?"
_ZONE = r"(?:\s?(?:Z|UTC|GMT|CES?T|[EP][SD]T|[+-]\d\d:?\d\d))"
_MONTH_DAY = rf"{_MONTH}\s+\d{{1,2}}\b(?:,\s+\d{{4}})?"
_DAY_MONTH = rf"\d{{1,2}}\s+{_MONTH}\b(?!\s+\d{{1,2}}\s)"
_OF_MONTH = rf"(?:{_MONTH_DAY}|{_DAY_MONTH})(?:,?\s+\d{{4}}\b(?!:))?"
_PROVIDERS = "toolu|srvtoolu|mcptoolu|msg|req|call|resp|rs|fc|fco|ctc|chatcmpl|cmpl|item|file|container|msgbatch|batch"
_AGENTS = "sess|session|agent|conv"
_PATTERNS = {
    "ids": (
        r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b",
        rf"\b(?:{_PROVIDERS}|{_AGENTS})[_-](?=\w*\d)\w{{8,}}\b",
        # An agent's id that a result repeats.
        r"(?:(?<=agentId: )|(?<=agent_id: )|(?<=agent-id: ))[\w-]{4,}",
        # Claude Code's subagents once more; codex's pieces of output.
        r"(?:(?<=with to: ')|(?<=<task-id>)|(?<=/tasks/)|(?<=^Chunk ID: ))[\w-]{4,}",
        # Hashes of Git's: whole, or short where Git writes them.
        r"\b(?:[0-9a-f]{64}|[0-9a-f]{40})\b",
        r"(?:(?<=HEAD is now at )|(?<=\[main )|(?<=\[master )|^)(?=[a-f]*[0-9])[0-9a-f]{7,12}(?=[\] ])",
    ),
    "dates": (
        rf"\b\d{{4}}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?{_ZONE}?)?(?!\w)",
        rf"\b(?:{_DAY},?\s+)?{_OF_MONTH}(?:,?\s+{_CLOCK})?{_ZONE}?(?:\s+\d{{4}}\b)?",
        r"(?<![\w:.])\d{1,2}:\d\d:\d\d(?:[.,]\d+)?(?![\w:])",
    ),
    "durations": (
        r"(?<![\w.])(?:\d+\.\d+\s?(?:s|secs?|seconds?|min|minutes?|ms|µs|us|ns)|\d+\s?(?:ms|µs|us|ns))\b",
        r"(?:(?<=duration_ms: )|(?<=duration_ms>))\d+",
    ),
    "places": (
        r"/tmp/(?:tmp|pytest-of-)\w+(?:/pytest-\d+)?",  # noqa: S108 - found, not used
        r"(?:(?<=127\.0\.0\.1:)|(?<=localhost:)|(?<=\[::1\]:))\d{4,5}\b",
        r"\b0x[0-9a-f]{9,16}\b",
    ),
}
_NUMBERED = frozenset({"ids", "places"})
"""What is known by its order; any date is as good as another."""


def match_key(request: Request, policy: MatchPolicy = DEFAULT, names: Names | None = None) -> str:
    """The match key of a request."""
    return _digest(canonical_form(request, policy, names))


def structural_key(request: Request) -> str:
    """The structural key of a request: equal where two requests differ in words alone."""
    try:
        return _digest(_structure(request))
    except RecursionError:
        return match_key(request)


def canonical_form(request: Request, policy: MatchPolicy = DEFAULT, names: Names | None = None) -> Any:
    """What the match key covers, as a JSON value: method, path, query and body less what may differ."""
    form = _Form(policy, names or {})
    path, _, query = request.path.partition("?")
    pairs = sorted(pair for pair in query.split("&") if pair and pair.partition("=")[0] not in _SECRET_QUERY)
    shown: dict[str, Any] = {"method": request.method, "path": form.text(path)}
    if pairs:
        shown["query"] = [form.text(pair) for pair in pairs]
    if request.body is not None:
        try:
            shown["body"] = form.body(request.body)
        except RecursionError:
            shown["body"] = {"nested too deeply": digest(json.dumps(request.body).encode())}
    return shown


def _digest(value: Any) -> str:
    # NaN, which is no JSON, may well stand in a body.
    return digest(json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii"))


@dataclass
class _Form:
    """One request on its way to its canonical form. `seen` has what is known by its order."""

    policy: MatchPolicy
    names: Names
    seen: dict[str, str] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    left_out: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        policy = self.policy
        # A folder before the folder that it is in.
        self.names = dict(sorted(self.names.items(), key=lambda pair: -len(pair[0])))
        self.kinds = tuple(kind for kind in _PATTERNS if getattr(policy, kind))
        self.left_out = (_SAMPLING if policy.sampling else frozenset()) | (
            _CACHE_MARKERS if policy.cache_markers else frozenset()
        )

    def body(self, body: Any) -> Any:
        """The whole body."""
        if isinstance(body, bytes):
            return self._bytes(body)
        if not isinstance(body, dict):
            return self.value(body)
        kept = {name: item for name, item in body.items() if name not in self.policy.members}
        if self.policy.billing and "system" in kept:
            kept["system"] = _unbilled(kept["system"])
        return self._object(kept, self.left_out)

    def value(self, value: Any) -> Any:
        """Any value within it."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return self._object(value, _CACHE_MARKERS & self.left_out)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return value

    def text(self, text: str) -> str:
        """Any text within it."""
        for name, stand_in in self.names.items():
            if name in text:
                text = text.replace(name, stand_in)
        if not (places := _places(text, self.kinds)):
            return text
        out, end = [], 0
        for start, stop, kind in places:
            word = text[start:stop]
            out += [text[end:start], self._numbered(word) if kind in _NUMBERED else f"‹{kind[:-1]}›"]
            end = stop
        return "".join((*out, text[end:]))

    def _object(self, value: dict[str, Any], left_out: frozenset[str]) -> dict[str, Any]:
        # Where Gemini has its sampling parameters.
        inner = {"generationConfig": self.left_out, "generation_config": self.left_out}
        own = _tools_own(value)
        out: dict[str, Any] = {}
        for name in sorted(value):
            item = value[name]
            if name in left_out:
                continue
            if name == own:
                out[name] = self._opaque(item)
            elif self.policy.ids and name in _ID_MEMBERS and isinstance(item, str):
                out[name] = self._numbered(item)
            elif name in inner and isinstance(item, dict):
                out[name] = self._object(item, inner[name])
            else:
                out[self.text(name)] = self.value(item)
        return out

    def _opaque(self, value: Any) -> Any:
        """What a tool is called with: its members mean what the tool wants."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {name: self._opaque(value[name]) for name in sorted(value)}
        if isinstance(value, list):
            return [self._opaque(item) for item in value]
        return value

    def _bytes(self, body: bytes) -> Any:
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return {"bytes": digest(body)}
        # The parts of a form are kept apart by a line that is drawn by lot.
        if (boundary := re.match(r"--([^\s\"]{8,70})\r?\n", text)) is not None:
            text = text.replace(boundary[1], "‹boundary›")
        return {"text": self.text(text)}

    def _numbered(self, word: str) -> str:
        return self.seen.setdefault(word, f"‹{len(self.seen) + 1}›")


_Place = tuple[int, int, str]
"""From, to, and which kind of thing that may differ stands there."""

_patterns: dict[tuple[str, ...], re.Pattern[str]] = {}
_known: dict[tuple[bytes, tuple[str, ...]], tuple[_Place, ...]] = {}
"""What was found in texts, by their digests: a conversation is sent again with every turn of it."""
_MOST_KNOWN = 1 << 15


def _places(text: str, kinds: tuple[str, ...]) -> tuple[_Place, ...]:
    if not kinds:
        return ()
    key = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest(), kinds
    if (found := _known.get(key)) is None:
        if kinds not in _patterns:
            said = "|".join(f"(?P<{kind}>{'|'.join(_PATTERNS[kind])})" for kind in kinds)
            _patterns[kinds] = re.compile(said, re.MULTILINE)
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        matches = _patterns[kinds].finditer(text)
        found = _known[key] = tuple((match.start(), match.end(), match.lastgroup or "") for match in matches)
    return found


def _tools_own(block: Mapping[str, Any]) -> str:
    """The member of a block that is a tool's own business, "" for none."""
    kind = block.get("type")
    if isinstance(kind, str) and kind.endswith("tool_use"):
        return _THE_TOOLS_OWN["tool_use"]
    if "name" in block and "args" in block:
        return _THE_TOOLS_OWN["functionCall"]
    return _THE_TOOLS_OWN["functionResponse"] if "name" in block and "response" in block else ""


def _unbilled(system: Any) -> Any:
    """A system prompt without what a client writes into it for billing, which counts its calls."""
    if isinstance(system, list):
        return [item for item in system if not (isinstance(item, dict) and _is_billing(item.get("text")))]
    return system


def _is_billing(text: Any) -> bool:
    return isinstance(text, str) and text.startswith(_BILLING)


def _structure(request: Request) -> Any:
    path = canonical_form(Request(request.method, request.path.partition("?")[0]))
    body = request.body
    if not isinstance(body, dict):
        return [path, body is not None]
    items = next((body[name] for name in ("messages", "input", "contents") if name in body), None)
    tools = body.get("tools")
    return [
        path,
        body.get("model"),
        body.get("stream") is True,
        [_build(item) for item in items] if isinstance(items, list) else type(items).__name__,
        sorted(map(_tool_name, tools)) if isinstance(tools, list) else None,
    ]


def _build(item: Any) -> Any:
    """A message's, an item's or a block's build."""
    if not isinstance(item, dict):
        return type(item).__name__
    words: Callable[[str], Any] = lambda name: item[name] if isinstance(item.get(name), str) else None  # noqa: E731
    calls = item.get("tool_calls")
    content = item.get("content", item.get("parts"))
    inner = [_build(block) for block in content] if isinstance(content, list) else [type(content).__name__]
    kinds = sorted(name for name in item if name.startswith(("function", "inline", "file")))
    return [
        words("role"),
        words("type"),
        words("name"),
        [_tool_name(item[kind]) for kind in kinds if isinstance(item[kind], dict)],
        [_tool_name(call) for call in calls] if isinstance(calls, list) else None,
        inner,
    ]


def _tool_name(tool: Any) -> str:
    if not isinstance(tool, dict):
        return ""
    inner = tool.get("function")
    name = inner.get("name") if isinstance(inner, dict) else tool.get("name")
    return name if isinstance(name, str) else str(tool.get("type", ""))
