"""How each state looks: a glyph and a word carry it, the ink only helps. Glyphs are one cell wide; `widgets.ink.ASCII`
has their ASCII twins."""

from dataclasses import dataclass

from store.domain.states import AlertLevel, RunState, SubagentState
from widgets.ink import Span


@dataclass(frozen=True)
class Mark:
    """A state as it is drawn."""

    glyph: str
    word: str
    ink: str

    @property
    def span(self) -> Span:
        return f"{self.glyph} {self.word}", self.ink


SUBAGENT: dict[SubagentState, Mark] = {
    SubagentState.QUEUED: Mark("○", "queued", "faint"),
    SubagentState.STARTING: Mark("◌", "starting", "accent"),
    SubagentState.RUNNING: Mark("▶", "running", "accent"),
    SubagentState.PAUSED: Mark("‖", "paused", "warn"),
    SubagentState.CHECKING: Mark("◐", "checking", "accent"),
    SubagentState.SOLVED: Mark("✔", "solved", "good"),
    SubagentState.UNSOLVED: Mark("✗", "unsolved", "bad"),
    SubagentState.KILLED: Mark("■", "killed", "warn"),
    SubagentState.FAILED: Mark("◇", "failed", "bad"),
}

RUN: dict[RunState, Mark] = {
    RunState.CHECKING: Mark("◐", "checking", "accent"),
    RunState.RUNNING: Mark("▶", "running", "accent"),
    RunState.GATE: Mark("◆", "at gate", "warn"),
    RunState.SOLVED: Mark("✔", "solved", "good"),
    RunState.UNSOLVED: Mark("✗", "unsolved", "bad"),
    RunState.STOPPED: Mark("■", "stopped", "warn"),
    RunState.FAILED: Mark("◇", "failed", "bad"),
}

ALERT: dict[AlertLevel, Mark] = {
    AlertLevel.NOTE: Mark("·", "note", "faint"),
    AlertLevel.WARNING: Mark("⚠", "warning", "warn"),
    AlertLevel.STUCK: Mark("▲", "stuck", "bad"),
}

INTERRUPTED = Mark("⚠", "interrupted", "bad")
"""A run that is not over and has no engine."""
RECORDING = Mark("▶", "recording", "accent")
"""Calls of tools outside a run, as they are made."""
RECORDED = Mark("■", "recorded", "faint")
"""Calls of tools outside a run: nothing more comes."""
OPENING = Mark("◌", "opening", "faint")
"""A run whose events are not read yet."""


def alerted(level: AlertLevel, text: str) -> str:
    """What an alert says, its level first; that of a warning is what its glyph says to everybody."""
    return text if level is AlertLevel.WARNING else f"{ALERT[level].word}: {text}"


def alert_span(level: AlertLevel, text: str) -> Span:
    """The same as it is drawn. `text` is safe to draw."""
    return f"{ALERT[level].glyph} {alerted(level, text)}", ALERT[level].ink


def run_mark(state: RunState, *, alive: bool) -> Mark:
    """A run's mark; `alive` says whether an engine holds it."""
    return RUN[state] if alive or state.final else INTERRUPTED
