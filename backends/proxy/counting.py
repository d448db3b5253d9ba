"""Tokens counted here, for an answer whose provider reports none: OpenAI's streams do so only when asked.

Counted with OpenAI's own encodings, of which LiteLLM ships copies, so nothing is fetched. That is exact to a few tokens
for the texts of OpenAI's models, and an estimate for all else; pictures and sounds count nothing. A conversation costs
what is new in it: the counts of its messages are remembered.
"""

import json
import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import orjson

from store.domain.limits import Usage

PER_MESSAGE = 3
"""Tokens that stand between two messages, and before the answer, by OpenAI's cookbook."""

REMEMBERED = 20_000
"""Messages whose counts are remembered."""

NOTE = "the provider reported no usage: its tokens were counted here, about"

_NEWER = ("gpt-4o", "gpt-4.1", "gpt-4.5", "gpt-5", "gpt-6", "chatgpt", "o1", "o3", "o4", "gpt-oss")
_NO_TEXT = frozenset(
    {"data", "encrypted_content", "signature", "thoughtSignature", "file_data", "id", "call_id", "model", "taskType"}
)
_BESIDE = frozenset({"system", "instructions", "systemInstruction", "tools", "functions"})
_EMBEDDED = frozenset({"input", "content", "requests"})

_lock = Lock()
_counts: OrderedDict[tuple[str, bytes], int] = OrderedDict()


def count(model: str, body: bytes, conversation: str, answer: Iterable[Mapping[str, Any]]) -> Usage:
    """The usage of a call with that body and that answer. The member `conversation` holds its messages; without one it
    is texts to embed. Takes a third of a second the first time: not for an event loop."""
    try:
        asked = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError:
        asked = {}
    encoding = "o200k_base" if model.rpartition("/")[2].startswith(_NEWER) else "cl100k_base"
    with _lock:
        tokens = PER_MESSAGE
        members = asked.items() if isinstance(asked, dict) else ()
        for name, value in members:
            if name == conversation:
                for message in value if isinstance(value, list) else [value]:
                    tokens += _of(encoding, message) + PER_MESSAGE
            elif name in (_BESIDE if conversation else _EMBEDDED):
                tokens += _of(encoding, value)
        if not conversation:
            tokens -= PER_MESSAGE
        return Usage(input=tokens, output=sum(_of(encoding, message) for message in answer))


def _of(encoding: str, value: Any) -> int:
    """Tokens of the texts in a value."""
    try:
        data = orjson.dumps(value)
    except TypeError:
        data = json.dumps(value).encode()
    key = encoding, blake2b(data, digest_size=16).digest()
    if (known := _counts.get(key)) is not None:
        _counts.move_to_end(key)
        return known
    ordinary = _encoding(encoding).encode_ordinary
    tokens = _counts[key] = sum(len(ordinary(text)) for text in _texts(value))
    if len(_counts) > REMEMBERED:
        _counts.popitem(last=False)
    return tokens


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        if not value.startswith("data:"):
            yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            if name not in _NO_TEXT:
                yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


@cache
def _encoding(name: str) -> Any:
    """One of OpenAI's encodings, out of LiteLLM's copies."""
    import tiktoken

    variable, before = "TIKTOKEN_CACHE_DIR", os.environ.get("TIKTOKEN_CACHE_DIR")
    spec = find_spec("litellm")
    folders = [Path(folder) / "litellm_core_utils" / "tokenizers" for folder in _places(spec)]
    try:
        for folder in folders:
            os.environ[variable] = str(folder)
        return tiktoken.get_encoding(name)
    finally:
        if before is None:
            os.environ.pop(variable, None)
        else:
            os.environ[variable] = before


def _places(spec: Any) -> Iterable[str]:
    return (spec.submodule_search_locations if spec else None) or ()
