"""What was said, as the conventions' attributes: only for who asks for it, with keys of known formats hidden."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from backends.export.span import Value
from store.domain.blocks import Block, BlockKind, blocks
from store.domain.secrets import mask, masked
from store.domain.tape import Message


def of_call(
    messages: Iterable[Message], answers: Iterable[Message], request: Any, stop: str
) -> dict[str, Value | None]:
    """The attributes of a call's content. `request` is its body."""
    body = request if isinstance(request, Mapping) else {}
    system = body.get("system", body.get("instructions", body.get("systemInstruction")))
    parts = [part for message in answers for part in _parts(message)]
    said = [{"role": "assistant", "parts": parts, "finish_reason": stop or "error"}] if parts else None
    return {
        "gen_ai.input.messages": _json([_message(message) for message in messages]),
        "gen_ai.output.messages": _json(said),
        "gen_ai.system_instructions": _json(_instructions(system)),
        "gen_ai.tool.definitions": _json(body.get("tools")),
    }


def of_tool(arguments: Any, result: str) -> dict[str, Value | None]:
    """The attributes of a tool call's content."""
    return {"gen_ai.tool.call.arguments": _json(arguments), "gen_ai.tool.call.result": mask(result)}


def _message(message: Message) -> dict[str, Any]:
    parts = _parts(message)
    results = bool(parts) and all(part["type"] == "tool_call_response" for part in parts)
    return {"role": "tool" if results else "assistant" if message.role == "model" else message.role, "parts": parts}


def _parts(message: Message) -> list[dict[str, Any]]:
    return [_part(block) for block in blocks(message.message)]


def _part(block: Block) -> dict[str, Any]:
    match block.kind:
        case BlockKind.TEXT | BlockKind.REASONING:
            return {"type": block.kind.value, "content": block.text}
        case BlockKind.TOOL_CALL:
            return {"type": "tool_call", "id": block.id or None, "name": block.name, "arguments": block.input}
        case BlockKind.TOOL_RESULT:
            return {"type": "tool_call_response", "id": block.id or None, "response": block.text}
        case _:
            # Images and documents stay on the tape: a collector is no place for them.
            return {"type": block.kind.value, "name": block.name, "content": block.text}


def _instructions(system: Any) -> list[dict[str, Any]] | None:
    if not system:
        return None
    if isinstance(system, Mapping) and "parts" in system:
        wrapped: dict[str, Any] = {"role": "user", "parts": system["parts"]}
    else:
        wrapped = {"role": "system", "content": system if isinstance(system, str | list) else [system]}
    return [_part(block) for block in blocks(wrapped)]


def _json(value: Any) -> str | None:
    """As JSON text, which is what backends read; None for nothing."""
    return json.dumps(masked(value), ensure_ascii=False, separators=(",", ":")) if value else None
