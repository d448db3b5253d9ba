"""A recorded call as the command line tells it: as JSON, as a line, as a row of a table."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

from app.output import duration, money
from store.domain.secrets import shown_line
from store.domain.tape import Call

HEADS = ("CALL", "PARENT", "RUN", "TIME", "SUBAGENT", "MODEL", "STATUS", "TOKENS", "COST", "TOOK", "REQUEST", "ERROR")
RIGHT = frozenset({"STATUS", "TOKENS", "COST", "TOOK"})
"""The columns that are numbers."""

_WHERE = frozenset({"PARENT", "RUN", "SUBAGENT"})
"""Those that are left out where they say nothing."""

ROUTE = "route"
"""The source of a call whose tries have its tokens and its cost."""


def with_tries(calls: Iterable[Call]) -> Iterator[tuple[Call, list[Call]]]:
    """Calls in their order, each with the tries that were made for it; tries whose call isn't there as calls."""
    listed = list(calls)
    tries: dict[str | None, list[Call]] = {call.id: [] for call in listed if call.parent is None}
    for call in listed:
        if call.parent in tries:
            tries[call.parent].append(call)
    for call in listed:
        if call.parent not in tries:
            yield call, tries.get(call.id, [])


def listed(calls: Iterable[Call], now: float) -> tuple[list[str], list[list[object]], list[int]]:
    """The heads and rows of a table of calls, a call's tries under it, and which columns are numbers. A column that
    says nothing is left out; a time of another day than `now` has its date."""
    rows: list[list[object]] = [list(HEADS)]
    today, runs = day(now), set()
    for call, tries in with_tries(calls):
        rows += [_row(one, today) for one in (call, *tries)]
        runs.add(call.run)
    needed = {"RUN"} if len(runs) > 1 else set()
    said = {head for at, head in enumerate(HEADS) if any(row[at] for row in rows[1:])} - {"RUN"} | needed
    shown = [at for at, head in enumerate(HEADS) if head not in _WHERE or head in said]
    heads, *cells = ([row[at] for at in shown] for row in rows)
    return list(map(str, heads)), cells, [at for at, head in enumerate(heads) if head in RIGHT]


def facts(call: Call) -> dict[str, Any]:
    """A call as JSON. Times are Unix seconds, `cost` US dollars (null where the price is unknown), `response_digest`
    BLAKE2b-160 of the answer's body as received (null without one)."""
    usage = call.usage
    return {
        "id": call.id,
        "time": call.started,
        "first_byte": call.first_byte,
        "ended": call.ended,
        "seconds": call.seconds,
        "run": call.run,
        "subagent": call.subagent.label if call.subagent else None,
        "thread": call.thread,
        "parent": call.parent,
        "source": call.source,
        "provider": call.provider,
        "protocol": call.protocol,
        "method": call.method,
        "path": call.path,
        "model": call.model,
        "stream": bool(call.stream),
        "status": call.status,
        "error": call.error,
        "complete": bool(call.complete),
        "stop_reason": call.stop_reason,
        "tokens": {
            "input": usage.input,
            "output": usage.output,
            "cache_read": usage.cache_read,
            "cache_write": usage.cache_write,
            "reasoning": usage.reasoning,
            "total": usage.total,
        },
        "cost": call.usd,
        "request_digest": call.request_digest,
        "response_id": call.response_id,
        "response_size": call.response_size,
        "response_digest": call.response,
        "tail": call.tail,
        "answer": call.answer,
        "notes": list(call.notes),
    }


def _row(call: Call, today: str) -> list[object]:
    """A call under `HEADS`. What took no tokens has no cost to tell."""
    when = clock(call.started) if day(call.started) == today else f"{day(call.started)} {clock(call.started)}"
    return [
        call.id if call.parent is None else f"→ {call.id}",
        call.parent or "",
        call.run,
        when,
        call.subagent.label if call.subagent else "",
        shown_line(call.model, 40),
        call.status if call.status is not None else "none",
        f"{call.usage.total:,}" if call.usage.total else "",
        money(call.usd) if call.usage.total or call.usd else "",
        duration(call.seconds) if call.seconds is not None else "under way",
        shown_line(f"{call.method} {call.path}", 48),
        shown_line(call.error, 80),
    ]


def line(call: Call) -> str:
    """A call on one line, as it has ended."""
    model, usage = asked(call), call.usage
    cached = f" ({usage.cache_read:,} cached)" if usage.cache_read else ""
    used = "routed" if call.source == ROUTE else "no tokens"
    if usage.total:
        cost = "price unknown" if call.usd is None else money(call.usd)
        used = f"{usage.total - usage.output:,} in{cached}, {usage.output:,} out  {cost}"
    took = f"{1000 * (call.seconds or 0):,.0f} ms"
    who = f"  {call.subagent.label}" if call.subagent else ""
    status = call.status if call.status is not None else "none"
    name = model if call.parent is None else f"try {model}"
    head = f"{clock(call.ended or call.started)}{who}  {name:<28}  {status:>4}  {used}  {took}"
    wrong = f"  ! {shown_line(call.error, 160)}" if call.error else ""
    notes = "".join(f"  · {shown_line(note, 160)}" for note in call.notes)
    return head + wrong + notes


def asked(call: Call) -> str:
    """What a call asked: a model, or else for something."""
    return shown_line(call.model, 40) or shown_line(f"{call.method} {call.path}", 40)


def day(at: float) -> str:
    """The date, where the operator is."""
    return time.strftime("%Y-%m-%d", time.localtime(at))


def clock(at: float) -> str:
    """The time of day, where the operator is."""
    return time.strftime("%H:%M:%S", time.localtime(at))
