"""What became of a container, in a sentence."""

from collections.abc import Mapping
from typing import Any

from store.domain.safe_text import safe_line

_KILLED = 137
"""128 and the number of the signal that can't be caught."""


def bytes_said(count: int) -> str:
    """A limit as people write it: `512 MiB`, `4 GiB`."""
    unit = 30 if count >= 1 << 30 else 20
    return f"{count / (1 << unit):.3g} {'GiB' if unit == 30 else 'MiB'}"


def memory_ran_out(limit: int) -> str:
    """That a program in a container was killed for its memory."""
    return f"out of memory: the container reached its {bytes_said(limit)}, and the kernel killed a program in it"


def end_of_container(state: Mapping[str, Any] | None, memory: int) -> str:
    """Why a container no longer runs, from what the engine says of its state; None when there is none any more."""
    if state is None:
        return "its container is gone: somebody removed it"
    code = state.get("ExitCode")
    if state.get("OOMKilled"):
        return f"its container ended, {memory_ran_out(memory)}"
    if error := safe_line(str(state.get("Error") or ""), 300):
        return f"its container ended: {error}"
    if state.get("Running") or state.get("Restarting"):
        return "its container was started anew, and whatever ran in it has ended"
    if code == _KILLED:
        return "its container was killed, by somebody or because the Docker engine was stopped"
    return f"its container was stopped, by somebody or together with the Docker engine (exit code {code})"
