"""What was said before a request that names an earlier answer in its place (`previous_response_id`), from the tape."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from store import tapes
from store.domain.ids import SubagentId
from store.domain.kept import bare, join_unit
from store.domain.tape import Call
from store.tables import metadata

if TYPE_CHECKING:
    from store.database import Store

_calls = metadata.tables["calls"]

_KEPT_ELSEWHERE = ("conversation", "prompt")
"""Members of a request that name what only its provider has."""

_CALLS = frozenset({"function_call", "custom_tool_call", "local_shell_call", "shell_call", "apply_patch_call"})
"""Items that another provider can be told of, beside messages and results: those that the client itself has done."""


@dataclass(frozen=True)
class Earlier:
    """The items before a request, as its `input` could have them, out of so many calls. `left_out` are the types of
    those that only their own provider understands (its reasoning, what it did itself). `provider` knows the last answer
    by its name; "" when nobody but its client does."""

    items: list[Any]
    calls: int
    left_out: tuple[str, ...]
    provider: str


def said_before(store: "Store", of: SubagentId | str, response: str) -> Earlier | None:
    """What was said up to the answer of that name, on a subagent's tape or that of a run's calls that nobody made. None
    when some of it is not there."""
    found: list[tuple[Call, list[Any]]] = []
    following: Any = response
    while following is not None:
        call = _answered(store, of, following) if isinstance(following, str) else None
        if call is None or any(call.id == other.id for other, _ in found):
            return None
        request = tapes.request(store, call)
        own = _own(store, call, request)
        if own is None:
            return None
        found.append((call, own))
        following = request.get("previous_response_id")
    items = [item for _, own in reversed(found) for item in own]
    told = [item for item in items if _is_told(item)]
    left_out = sorted({str(item.get("type")) for item in items if not _is_told(item)})
    return Earlier(told, len(found), tuple(left_out), _known_to(store, found[0][0], response))


def _own(store: "Store", call: Call, request: Any) -> list[Any] | None:
    """What a call adds: its input and its answer."""
    if call.answer is None or not isinstance(request, dict):
        return None
    given = request.get("input")
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        return None
    if any(request.get(name) is not None for name in _KEPT_ELSEWHERE) or any(map(_is_reference, given)):
        return None
    answers = tapes.answers(store, call)
    return [*given, *(item for node in answers for item in join_unit(bare(node.message), None))]


def _answered(store: "Store", of: SubagentId | str, response: str) -> Call | None:
    """The client's call that was answered by that name."""
    if not response:
        return None
    columns = _calls.c
    statement = select(columns.id).where(columns.response_id == response, columns.response_id != "")
    statement = statement.where(columns.parent.is_(None), columns.conversation == "input")
    if isinstance(of, str):
        statement = statement.where(columns.run == of, columns.lane.is_(None))
    else:
        statement = statement.where(columns.run == of.run, columns.generation == of.generation, columns.lane == of.lane)
    with store.read() as connection:
        found = connection.execute(statement.order_by(columns.started.desc(), columns.id.desc()).limit(1)).scalar()
    return None if found is None else tapes.call(store, found)


def _known_to(store: "Store", call: Call, response: str) -> str:
    """The provider that gave an answer its name."""
    if call.source == "":
        return call.provider
    columns = _calls.c
    tries = select(columns.provider).where(columns.parent == call.id, columns.response_id == response)
    with store.read() as connection:
        return connection.execute(tries.order_by(columns.started.desc()).limit(1)).scalar() or ""


def _is_reference(item: dict[str, Any]) -> bool:
    return item.get("type") == "item_reference" or item.keys() == {"id"}


def _is_told(item: dict[str, Any]) -> bool:
    kind = item.get("type", "message")
    return kind == "message" or kind in _CALLS or (isinstance(kind, str) and kind.endswith("_output"))
