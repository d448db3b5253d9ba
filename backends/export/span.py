"""A span as plain data, before it is put into anybody's format, and the names that are made for ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2b

from store.domain.ids import SubagentId

Value = str | bool | int | float | Sequence[str]


class Kind(IntEnum):
    """OTLP's span kinds, as far as there are any here."""

    INTERNAL = 1
    CLIENT = 3


@dataclass(frozen=True)
class Span:
    """One span. Ids are bytes, `parent` is b"" at the root; times are Unix seconds; `error` is the status's message,
    None for a span that went well. An attribute that is None is left out."""

    trace: bytes
    id: bytes
    parent: bytes
    name: str
    start: float
    end: float
    kind: Kind = Kind.INTERNAL
    attributes: Mapping[str, Value | None] = field(default_factory=dict)
    error: str | None = None


def trace_id(run: str) -> bytes:
    """A run's trace: the same each time it is exported."""
    return blake2b(run.encode(), digest_size=16, person=b"mt.trace").digest()


def span_id(*name: object) -> bytes:
    """A span's id by what it stands for: the same each time."""
    return blake2b("\0".join(map(str, name)).encode(), digest_size=8, person=b"mt.span").digest()


def of_run(run: str) -> bytes:
    """The span of a run."""
    return span_id("run", run)


def of_generation(run: str, generation: int) -> bytes:
    """The span of a generation."""
    return span_id("generation", run, generation)


def of_subagent(subagent: SubagentId) -> bytes:
    """The span of a subagent."""
    return span_id("subagent", subagent)


def of_call(call: str) -> bytes:
    """The span of a call."""
    return span_id("call", call)
