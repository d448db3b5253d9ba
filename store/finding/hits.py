"""What a search finds: a place on a tape, in its context."""

from dataclasses import dataclass

from store.domain.ids import SubagentId
from store.domain.marking import Excerpt


@dataclass(frozen=True)
class Hit:
    """A place. `kind` is a block's kind (`store.domain.blocks`), or that of an event; `role` whose message it is in.

    `call` is the client's call, "" where an event belongs to none; `node` and `block` say where in its conversation,
    "" and 0 for events; `seq` is the event, 0 for words. `turn` is the subagent's, 0 where it is not known; `tool_call`
    the provider's id of the tool call that it is or answers. `name` is the tool's, or the model's for other words.
    `usd` is the call's cost, None where it is not known.
    """

    run: str
    who: SubagentId | None
    at: float
    kind: str
    excerpt: Excerpt
    role: str = ""
    call: str = ""
    node: str = ""
    block: int = 0
    turn: int = 0
    tool_call: str = ""
    name: str = ""
    seq: int = 0
    usd: float | None = None
