"""Convergence: observations and solved subagents by generation, and what they rest on; over one run and several."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from app.converging import page
from app.screens.base import StudioScreen, bindings
from app.world import Track
from store.domain.board import Board
from store.domain.convergence import Convergence, convergence
from widgets.bars import Bar
from widgets.docview import DocView
from widgets.ink import Line


class Scope(StrEnum):
    """Which runs are drawn together. The value is what people read."""

    ONE = "this run"
    TASK = "its task's runs"
    ALL = "all runs"


class ConvergenceScreen(StudioScreen):
    """One picture that scrolls."""

    NAME: ClassVar[str] = "convergence"
    BINDINGS: ClassVar[list[BindingType]] = bindings("convergence")

    def __init__(self) -> None:
        super().__init__()
        self._scope = Scope.ONE
        self._drawn: tuple[object, ...] = ()
        self._numbers = Convergence()

    def body(self) -> ComposeResult:
        yield Bar(id="scope")
        yield DocView(id="convergence")

    def on_mount(self) -> None:
        self.query_one(DocView).focus()
        self._scope = next((scope for scope in Scope if scope.name == self.studio.where.scope), Scope.ONE)

    def note(self) -> None:
        self.studio.where = replace(self.studio.where, scope=self._scope.name)

    def banner(self) -> Line:
        track = self.track
        # How it ended stands in the first line already.
        return super().banner() if track is not None and track.board.finished is None else []

    def update(self) -> None:
        tracks = self._tracks()
        self.query_one("#scope", Bar).show(*self._head(tracks))
        now = tuple((track.id, track.version) for track in tracks)
        if now != self._drawn:
            self._drawn = now
            self._numbers = convergence(track.board for track in tracks)
        view = self.query_one("#convergence", DocView)
        if self.track is not None and not self.track.read:
            view.show([[("Reading the run …", "faint")]], "reading")
            return
        lines = page(self._numbers, max(self.size.width - 3, 20), max(self.size.height - 5, 10))
        view.show([[(" ", "text"), *line] for line in lines], (self._scope, self.track and self.track.id))

    def do_scope(self) -> None:
        """The next wider choice of runs; after all of them, the shown one alone."""
        scopes = list(Scope)
        self._scope = scopes[(scopes.index(self._scope) + 1) % len(scopes)]
        self.update()

    def why_not(self, action: str) -> str:
        if action == "scope" and not self.world.tracks:
            return "there is no run yet"
        return ""

    def _tracks(self) -> Sequence[Track]:
        """The runs that are drawn, oldest first."""
        shown = self.track
        if shown is None:
            return ()
        if self._scope is Scope.ONE:
            return (shown,)
        tracks = [track for track in reversed(self.world.newest()) if track.read and track.board.order is not None]
        if self._scope is Scope.TASK:
            tracks = [track for track in tracks if same_task(track.board, shown.board)]
        return tracks or (shown,)

    def _head(self, tracks: Sequence[Track]) -> tuple[Line, Line]:
        left: Line = [(" ", "text")]
        for scope in Scope:
            left += [(f" {scope} ", "badge" if scope is self._scope else "faint"), (" ", "text")]
        scripted = sum(track.scripted for track in tracks)
        if self._scope is Scope.ONE or not scripted:
            # The run's own line says it.
            return left, []
        return left, [(f"{scripted} of {len(tracks)} with the scripted model ", "warn")]


def same_task(one: Board, other: Board) -> bool:
    """The same goal and check on the same repository, however many generations and whatever memory."""
    if one.order is None or other.order is None:
        return one.run == other.run
    here, there = one.task, other.task
    return (here.goal, here.repository, here.check.command) == (there.goal, there.repository, there.check.command)
