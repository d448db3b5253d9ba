"""The container's end of the relay, in the languages that images have: programs that are handed over as text, and run
with nothing beside them. This package only gives their text."""

from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent

START = (
    "if command -v python3 >/dev/null 2>&1; then exec python3 -I -S -c \"$2\" \"$1\"; "
    "elif command -v node >/dev/null 2>&1; then exec node -e \"$3\" \"$1\"; "
    "elif command -v perl >/dev/null 2>&1; then exec perl -e \"$4\" \"$1\"; fi; "
    "exit 127"
)  # fmt: skip
"""A POSIX shell's choice among them; its parameters are the port and the three programs."""


@cache
def programs() -> tuple[str, str, str]:
    """The programs for Python, Node and Perl."""
    python, node, perl = ((_HERE / f"relay.{kind}").read_text(encoding="utf-8") for kind in ("py", "js", "pl"))
    return python, node, perl


def command(port: int) -> list[str]:
    """The command that listens on a port of the container's loopback, and relays. It needs `/bin/sh`, and exits with
    127 where the image has none of the languages."""
    return ["/bin/sh", "-c", START, "relay", str(port), *programs()]
