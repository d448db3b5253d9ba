"""A tape whose agent had subagents of its own: whose calls belong under which tool call."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from store.domain.blocks import Block, BlockKind, blocks

if TYPE_CHECKING:
    from store.database import Store
    from store.tapes import Call


@dataclass
class Told:
    """A call with its number, the tries that were made for it, and the blocks that it brought, each with who said it.
    `under` are the calls of the subagents that a block's tool call began, by the block's index."""

    number: int
    call: "Call"
    tries: "Sequence[Call]"
    said: list[tuple[str, Block]]
    under: dict[int, list["Told"]] = field(default_factory=dict)


def tree(store: "Store", calls: "Sequence[tuple[Call, Sequence[Call]]]") -> list[Told]:
    """The calls in their order, those of an agent's own subagents under the tool calls that began them. An agent's
    threads are told apart by what it says itself (`Call.thread`); a thread whose first request repeats the longest text
    that a tool was given is what that tool call began."""
    roots: list[Told] = []
    home: dict[str, list[Told]] = {}
    asked: list[tuple[str, Told, int]] = []
    for told in _each(store, calls):
        thread = told.call.thread
        if thread not in home:
            begun = _begun(told, asked)
            home[thread] = roots if begun is None else begun
        home[thread].append(told)
        asked += [(_longest(b.input), told, at) for at, (_, b) in enumerate(told.said) if b.kind is BlockKind.TOOL_CALL]
    return roots


def _begun(told: Told, asked: Sequence[tuple[str, Told, int]]) -> list[Told] | None:
    """Where the calls of a new thread belong; None where nothing shows it."""
    heard = "\n".join(block.text for role, block in told.said if role == "user" and block.kind is BlockKind.TEXT)
    found = [(len(text), order) for order, (text, _, _) in enumerate(asked) if text and text in heard]
    if not found:
        return None
    _, by, at = asked[max(found)[1]]
    return by.under.setdefault(at, [])


def _longest(given: object) -> str:
    texts = [value for value in given.values() if isinstance(value, str)] if isinstance(given, dict) else []
    return max(texts, key=len, default="")


def _each(store: "Store", calls: "Sequence[tuple[Call, Sequence[Call]]]") -> Iterator[Told]:
    from store.tapes import answers, messages

    seen: set[str] = set()
    for number, (call, tries) in enumerate(calls, 1):
        fresh = [message for message in [*messages(store, call), *answers(store, call)] if message.node not in seen]
        seen.update(message.node for message in fresh)
        yield Told(number, call, tries, [(m.role, block) for m in fresh for block in blocks(m.message)])
