"""Plain data to JSON and back, for the dataclasses of the vocabulary.

Pydantic does the reading: it turns lists back into tuples and words into enums, and says where a value is wrong.
"""

from dataclasses import fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from store.domain.commands import COMMANDS, Command
from store.domain.events import PAYLOADS, Payload, Unknown

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


def encode(value: Any) -> Any:
    """The JSON value of a dataclass, an enum, or a container of them."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return value


def decode(cls: type[T], value: Any) -> T:
    """The dataclass back from its JSON value. ValueError when the value doesn't fit; unknown fields are left out."""
    result: T = _adapter(cls).validate_python(value)
    return result


def encode_payload(payload: Payload) -> tuple[str, dict[str, Any]]:
    """Kind and JSON data of an event's payload."""
    if isinstance(payload, Unknown):
        return payload.name, payload.data
    return payload.kind, encode(payload)


def decode_payload(kind: str, data: dict[str, Any]) -> Payload:
    """The payload of a stored event; `Unknown` for a kind or a shape that this version doesn't know."""
    cls = PAYLOADS.get(kind)
    if cls is None:
        return Unknown(kind, data)
    try:
        return decode(cls, data)
    except ValueError:
        return Unknown(kind, data)


def encode_command(command: Command) -> tuple[str, dict[str, Any]]:
    """Name and JSON data of a command."""
    return command.name, encode(command)


def decode_command(name: str, data: dict[str, Any]) -> Command:
    """The command of a stored row. ValueError for one that this version doesn't know."""
    if name not in COMMANDS:
        raise ValueError(f"unknown command {name!r}")
    return decode(COMMANDS[name], data)


_adapters: "dict[type[Any], TypeAdapter[Any]]" = {}


def _adapter(cls: type[T]) -> "TypeAdapter[T]":
    # Imported late: the screen's first paint needs no reading of JSON.
    from pydantic import TypeAdapter

    if cls not in _adapters:
        _adapters[cls] = TypeAdapter(cls)
    return _adapters[cls]
