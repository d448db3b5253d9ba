"""Observations: what was learned, what the next generation will be told of it, and the gate."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import TextArea

from app import actions
from app.screens.ask import Ask
from app.screens.base import WIDE, StudioScreen, bindings
from store.domain.commands import EditObservations
from store.domain.safe_text import safe
from widgets import paint
from widgets.bars import Bar
from widgets.docview import DocView
from widgets.ink import Line


class Loaded(Message):
    """A version of a run's observations, and what a prompt would get of it."""

    def __init__(self, run: str, version: int, author: str, text: str, told: str, ids: int, tokens: int) -> None:
        super().__init__()
        self.run, self.version, self.author, self.text = run, version, author, text
        self.told, self.ids, self.tokens = told, ids, tokens


class ObservationsScreen(StudioScreen):
    """The file at the left, the prompt's share at the right. `e` turns the left into an editor."""

    NAME: ClassVar[str] = "observations"
    BINDINGS: ClassVar[list[BindingType]] = bindings("observations")

    def __init__(self) -> None:
        super().__init__()
        self.loaded: Loaded | None = None
        self.editing = False
        self._asked: tuple[str, int] = ("", -1)
        self._base = 0
        self._before = ""

    def body(self) -> ComposeResult:
        with Horizontal(id="split", classes="full"):
            with Vertical(classes="left wide"):
                yield Bar(id="file-head", classes="head")
                yield DocView(id="file")
                yield TextArea(id="editor", show_line_numbers=False, soft_wrap=True)
            with Vertical(classes="right"):
                yield Bar(id="told-head", classes="head")
                yield DocView(id="told")
        yield DocView(id="empty")

    def on_mount(self) -> None:
        self.query_one("#empty", DocView).can_focus = False
        self.query_one("#editor").display = False
        self.query_one("#file").focus()

    def update(self) -> None:
        track = self.track
        known = track.board.observations if track else 0
        if self.loaded is not None and (track is None or self.loaded.run != track.id or not known) and not self.editing:
            self.loaded, self._asked = None, ("", -1)
        if track is not None and known and self._asked != (track.id, known):
            self._asked = (track.id, known)
            self._load(track.id, known)
        self.set_class(self.loaded is None, "empty")
        if self.loaded is None:
            self.query_one("#empty", DocView).show(_nothing(track is not None, bool(known)), "empty")
        self._heads()

    def _load(self, run: str, known: int) -> None:
        cap = self.track.board.task.injected_tokens if self.track and self.track.board.order else 3000

        def read() -> None:
            from store import observations
            from store.domain.observations import select

            store = self.studio.feed.store()
            # In a playback later versions are there already.
            versions = [each for each in observations.versions(store, run) if each.version <= known]
            if not versions:
                return
            last = versions[-1]
            document = observations.load(store, run, last.version)
            text = observations.text(store, run, last.version)
            if document is None or text is None:
                return
            told = select(document, cap)
            self.post_message(Loaded(run, last.version, last.author, text, told.text, len(told.ids), told.tokens))

        self.studio.in_thread(read, group="observations")

    @on(Loaded)
    def _show(self, message: Loaded) -> None:
        if message.run != self.studio.run_name:
            return
        self.loaded = message
        self.remove_class("empty")
        self.query_one("#file", DocView).show(paint.prose(message.text), (message.run, "file"))
        told = paint.prose(message.told) if message.told else [[("Nothing: no observation goes in yet.", "faint")]]
        self.query_one("#told", DocView).show(told, (message.run, "told"))
        self._heads()
        self.show_keys()

    def _heads(self) -> None:
        loaded, track = self.loaded, self.track
        if loaded is None or track is None:
            return
        left: Line = [(" observations.md", "strong"), (f"  version {loaded.version} by the {loaded.author}", "faint")]
        if self.editing:
            save, leave = actions.key("save"), actions.key("leave-edit")
            left = [(" editing", "warn"), (f"  version {self._base}, {save} hands it in, {leave} leaves", "faint")]
            if loaded.version != self._base:
                left.append((f"  version {loaded.version} was written meanwhile", "bad"))
        self.query_one("#file-head", Bar).show(left)
        cap = track.board.task.injected_tokens if track.board.order else 3000
        share = min(round(10 * loaded.tokens / max(cap, 1)), 10)
        meter: Line = [("▰" * share, "accent"), ("▱" * (10 - share), "faint")] if self.size.width >= WIDE else []
        number = track.latest + 1
        planned = track.planned
        said = (
            f"generation {number} is told"
            if number <= planned and not track.board.state.final
            else "a prompt would get"
        )
        right: Line = [*meter, (f" {loaded.tokens:,}/{cap:,} tokens ", "text")]
        self.query_one("#told-head", Bar).show(
            [(said, "strong"), (f"  {loaded.ids} of {track.board.known}", "faint")], right
        )

    # Editing.

    def why_not(self, action: str) -> str:
        if action == "edit" and self.loaded is None:
            return "there is nothing to edit yet"
        if action == "edit" and self.editing:
            return "the editor is open"
        if action in ("save", "leave-edit") and not self.editing:
            return f"nothing is being edited; {actions.key('edit')} opens the editor"
        if action in ("launch", "launch-rest") and self.editing:
            return f"the editor is open: {actions.key('save')} hands the text in, {actions.key('leave-edit')} leaves it"
        return ""

    @property
    def changed(self) -> bool:
        """The editor has something that the file hasn't."""
        return self.editing and self.loaded is not None and self.query_one(TextArea).text != self._before

    def do_edit(self) -> None:
        if self.loaded is None:
            return
        self.editing, self._base, self._before = True, self.loaded.version, safe(self.loaded.text)
        editor = self.query_one(TextArea)
        editor.text = self._before
        editor.display = True
        self.query_one("#file").display = False
        editor.focus()
        self._heads()

    def do_save(self) -> None:
        track = self.track
        if track is None or not self.editing:
            return
        if not self.changed:
            self.studio.say("Nothing was changed.")
            self._leave()
            return
        text = self.query_one(TextArea).text

        def done(applied: bool) -> None:
            # Refused, the text stays in the editor: nothing that was typed is lost.
            if applied and self.editing and self.query_one(TextArea).text == text:
                self._leave()

        self.studio.order(track.id, EditObservations(text, self._base), "edit the observations", done)

    def do_leave_edit(self) -> None:
        if not self.changed:
            self._leave()
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._leave()

        self.app.push_screen(
            Ask("Leave the editor?", "What you changed is not handed in, and will be lost.", "Leave"), answered
        )

    def _leave(self) -> None:
        self.editing = False
        self.query_one(TextArea).display = False
        self.query_one("#file").display = True
        self.query_one("#file").focus()
        self._heads()
        self.show_keys()


_EARLY = (
    "When all subagents of a generation have ended, the observer reads their tapes and writes here what they showed: "
    "which repairs failed, which helped, what holds of the code. You edit it at the gate; the next generation gets it."
)


def _nothing(known: bool, written: bool) -> list[Line]:
    if not known:
        return [[("No run to show. ", "strong"), (actions.key("runs"), "key"), (" lists the runs.", "text")]]
    if written:
        return [[("Reading the observations …", "faint")]]
    return [[("Nothing was learned yet.", "strong")], [], [(_EARLY, "text")]]
