"""A run under another name: in a store that has one of its name already, with other content.

Calls have names of their own in the whole store, so they get others too: the same time, and other letters behind it.
"""

import re
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from store.domain.replay import TAPE

_CALL = re.compile(r"[0-9A-Za-z_\-]{1,64}")
_TIME = 10
"""Letters of a call's name that are its time (`store.recording.new_call_id`)."""
_DIGITS = "0123456789abcdefghijklmnopqrstuv"

Known = Callable[[str], bool]
"""Whether there is a call of this name in the run."""


class Renaming:
    """From one name to another; nothing where they are the same."""

    def __init__(self, old: str, new: str) -> None:
        self._old, self.new = old, new

    def __bool__(self) -> bool:
        return self._old != self.new

    def call(self, name: str) -> str:
        """A call's name."""
        if not self:
            return name
        made = blake2b(f"{self.new} {name}".encode(), digest_size=8).digest()
        return name[:_TIME] + "".join(_DIGITS[byte & 31] for byte in made)

    def source(self, source: str, known: Known) -> str:
        """Where a call's answer came from."""
        name = source.removeprefix(TAPE)
        return TAPE + self.call(name) if source.startswith(TAPE) and known(self.call(name)) else source

    def value(self, value: Any, known: Known) -> Any:
        """A JSON value, with the run, its subagents and its calls by their new names."""
        if not self:
            return value
        if isinstance(value, str):
            return new if _CALL.fullmatch(value) and known(new := self.call(value)) else value
        if isinstance(value, list):
            return [self.value(item, known) for item in value]
        if not isinstance(value, dict):
            return value
        renamed = {name: self.value(item, known) for name, item in value.items()}
        if renamed.get("run") == self._old and ("lane" in value or "observations" in value):
            renamed["run"] = self.new
        return renamed
