"""Text from models, tools, logs and file names, made safe for a terminal.

Control characters, escape sequences, bidirectional controls and lone surrogates become visible stand-ins, so that
what is shown is what is there and nothing of it acts. Newline and tab stay in `safe`; `safe_line` is one line.
"""

import re

_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_ZERO_WIDTH = "\u200b\u2060\ufeff"
_UNSAFE = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_BIDI}{_ZERO_WIDTH}\u2028\u2029\ud800-\udfff]")

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_REDRAWN = re.compile(r"[^\r\n]*\r(?=[^\n])")


def drawn(text: str) -> str:
    """What a program's output leaves on a terminal: without colours, moves of the cursor, and what was drawn over."""
    return _REDRAWN.sub("", _ESCAPES.sub("", text).replace("\r\n", "\n"))


def safe(text: str) -> str:
    """The text with everything that could act on a terminal replaced; lines and tabs stay."""
    return _UNSAFE.sub(_stand_in, text.replace("\r\n", "\n"))


def safe_line(text: str, width: int | None = None) -> str:
    """The text on one line, white space folded, cut to `width` characters with an ellipsis."""
    line = " ".join(safe(text).split())
    if width is not None and len(line) > width:
        return line[: max(width - 1, 0)] + "…"
    return line


def _stand_in(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    return f"⟨{code:04x}⟩"
