"""A recorded call as the command line tells it: as JSON, as a line, as a row of a table."""

import time
from typing import Any

from app.output import duration, money
from store.domain.secrets import shown_line
from store.domain.tape import Call

HEADS = ("CALL", "TIME", "SUBAGENT", "MODEL", "STATUS", "TOKENS", "COST", "TOOK", "REQUEST", "ERROR")
RIGHT = (4, 5, 6, 7)
"""The columns that are numbers."""


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


def row(call: Call) -> tuple[object, ...]:
    """A call under `HEADS`."""
    return (
        call.id,
        clock(call.started),
        call.subagent.label if call.subagent else "",
        shown_line(call.model, 40),
        call.status if call.status is not None else "none",
        f"{call.usage.total:,}",
        money(call.usd),
        duration(call.seconds) if call.seconds is not None else "under way",
        shown_line(f"{call.method} {call.path}", 48),
        shown_line(call.error, 80),
    )


def line(call: Call) -> str:
    """A call on one line, as it has ended."""
    model = shown_line(call.model, 40) or shown_line(f"{call.method} {call.path}", 40)
    usage = call.usage
    cached = f" ({usage.cache_read:,} cached)" if usage.cache_read else ""
    tokens = f"{usage.total - usage.output:,} in{cached}, {usage.output:,} out" if usage.total else "no tokens"
    took = f"{1000 * (call.seconds or 0):,.0f} ms"
    who = f"  {call.subagent.label}" if call.subagent else ""
    said = "  ".join(shown_line(text, 160) for text in (call.error, *call.notes) if text)
    status = call.status if call.status is not None else "none"
    cost = "price unknown" if call.usd is None else money(call.usd)
    head = f"{clock(call.ended or call.started)}{who}  {model:<28}  {status:>4}  {tokens}  {cost}  {took}"
    return f"{head}  ! {said}" if said else head


def clock(at: float) -> str:
    """The time of day, where the operator is."""
    return time.strftime("%H:%M:%S", time.localtime(at))
