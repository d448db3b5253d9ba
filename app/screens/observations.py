"""Observations: what was learned, what the next generation will be told of it, and the gate."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.css.query import NoMatches
from textual.widgets import Input, TextArea

from app import actions, changed, detail, learned, learned_lines, planned, reading
from app.known import read
from app.screens.base import NARROW, WIDE, bindings
from app.screens.gating import Gating
from app.screens.knowing import Loaded, VersionRead, seen, state_of
from store.domain.observations import Document
from store.domain.observations.comparing import compare
from widgets.bars import Bar
from widgets.docview import DocView
from widgets.ink import Line
from widgets.picklist import PickList
from widgets.words import count


class ObservationsScreen(Gating):
    """The list with the chosen observation under it at the left; at the right what the next generation reads, what
    changed, the versions, or its lanes. Where there is little room, one of them at a time."""

    NAME: ClassVar[str] = "observations"
    BINDINGS: ClassVar[list[BindingType]] = bindings("observations")

    def __init__(self) -> None:
        super().__init__()
        self.view = "told"
        self.against = "generation"
        self.whose = 0
        self._asked: tuple[str, int, int] = ("", -1, -1)
        self._made_of: tuple[object, ...] = ()
        self._compared: VersionRead | None = None

    def body(self) -> ComposeResult:
        with Horizontal(id="desk", classes="full"):
            with Vertical(id="left"):
                yield Bar(id="list-head", classes="head")
                yield Input(placeholder="words in text, id, claim or status", id="find")
                yield Bar(id="columns", classes="head")
                yield PickList(id="list")
                yield Bar(id="detail-head", classes="head")
                yield DocView(id="detail")
                yield TextArea(id="editor", show_line_numbers=False, soft_wrap=True)
            with Vertical(id="right"):
                yield Bar(id="told-head", classes="head")
                yield PickList(id="picks")
                yield DocView(id="told")
        yield DocView(id="empty")

    def on_mount(self) -> None:
        self.query_one("#empty", DocView).can_focus = False
        self.query_one("#find", Input).can_focus = False
        self.listing.focus()

    # Reading.

    def update(self) -> None:
        self.mind_draft()
        track = self.track
        version = track.board.observations if track else 0
        mine = self.seen is not None and track is not None and self.seen.known.run == track.id
        if self.seen is not None and (not mine or not version) and self.draft is None:
            self.forget()
        latest = track.latest if track else 0
        if track is not None and track.read and version and self._asked != (track.id, version, latest):
            self._asked = (track.id, version, latest)
            self._load(track.id, version)
        elif self.seen is not None and mine:
            self._settle()
        self.set_class(self.seen is None and self.draft is None, "empty")
        if self.seen is None:
            self.query_one("#empty", DocView).show(_nothing(track is not None, bool(version)), "empty")
        self.heads()

    def forget(self) -> None:
        """Another run is shown."""
        self.seen, self._asked, self._made_of, self._compared = None, ("", -1, -1), (), None
        self.marked, self.chosen, self.sort, self.words, self.whose = set(), 0, learned.Sort.ALL, "", 0

    def _load(self, run: str, version: int) -> None:
        track = self.track
        if track is None:
            return
        board = track.board

        def load() -> None:
            self.post_message(Loaded(run, read(self.studio.feed.store(), board, version)))

        self.studio.in_thread(load, group="observations")

    @on(Loaded)
    def _loaded(self, message: Loaded) -> None:
        track = self.track
        if message.known is None or track is None or message.run != track.id:
            return
        before = {o.id for o in self.seen.known.document.observations} if self.seen is not None else None
        self.seen = seen(message.known, track.board, self.studio.now())
        self._made_of = state_of(track.board)
        self.remove_class("empty")
        there = {o.id for o in message.known.document.observations}
        self.marked &= there
        self.show()
        self.arrived(before)
        self.show_keys()

    def _settle(self) -> None:
        """Make it anew when the board has come on so far that it says something else."""
        track = self.track
        if track is None or self.seen is None or self._made_of == (state := state_of(track.board)):
            return
        self._made_of = state
        self.seen = seen(self.seen.known, track.board, self.studio.now())
        self.show()

    # Showing.

    def show(self) -> None:
        """Show all of it."""
        if self.seen is None:
            return
        self.show_list()
        self.show_detail()
        self.show_beside()
        self.heads()

    def show_list(self) -> None:
        cells = self.list_cells
        if self.seen is not None:
            self.listing.show(learned_lines.rows(self.listed, self.marked, cells))
            self.query_one("#columns", Bar).show(learned_lines.heading(cells))

    @property
    def list_cells(self) -> int:
        return self.size.width if self.size.width < NARROW else self.size.width * 58 // 100

    def show_detail(self) -> None:
        entry, view = self.entry, self.query_one("#detail", DocView)
        if self.seen is None or self.draft is not None:
            return
        if entry is None:
            view.show([[("No observation is like that: ", "text"), (actions.key("clear"), "key"),
                        (" leaves the filter.", "text")]], "none")  # fmt: skip
            self.query_one("#detail-head", Bar).show([])
            return
        known = self.seen.known
        name = entry.observation.id
        since = next((one for one in compare(known.before, known.document).differences if one.id == name), None)
        conflicts = [one for one in known.conflicts if one.id == name]
        keys = (actions.key("evidence"), actions.key("settle"))
        lines, at = detail.lines(entry, known.run, self.chosen, conflicts, since, keys)
        view.show(lines, (known.run, name, self.chosen), at if self.chosen else 0)

    def show_beside(self) -> None:
        """Show what stands beside the list."""
        track, seen_ = self.track, self.seen
        if track is None or seen_ is None:
            return
        view, known = self.query_one("#told", DocView), seen_.known
        self.query_one("#right").set_class(self.view in ("versions", "lanes"), "picking")
        match self.view:
            case "told":
                reading_ = seen_.readings[self.whose % len(seen_.readings)]
                lines = reading.whose(reading_, seen_.readings, actions.key("told"))
                lines += reading.lines(reading_, known.document, seen_.gate.cap)
                view.show(lines, (known.run, "told", reading_.lanes, reading_.clean))
            case "changes":
                before = known.before if self.against == "generation" else known.proposal
                view.show(changed.lines(before, known.document), (known.run, "changes", self.against))
            case "versions":
                self.picks.show(changed.versions(known.versions, self.studio.now()))
                self._compare(self.picks.cursor)
            case _:
                self.picks.show(planned.rows(track.board, seen_.gate))
                lines = planned.lines(track.board, seen_.gate, self.picks.cursor)
                view.show(lines, (known.run, "lanes", self.picks.cursor))

    def _compare(self, version: str) -> None:
        if self.seen is None or not version.isdecimal():
            return
        known, number = self.seen.known, int(version)

        def load() -> None:
            from store import observations

            store = self.studio.feed.store()
            one = observations.load(store, known.run, number)
            before = observations.load(store, known.run, number - 1) if number > 1 else None
            if one is None:
                return
            lines: list[Line] = [[(f"What version {number} changed", "strong")], [], *changed.lines(before, one)]
            if number != known.version:
                lines += [[], [(f"What would change by restoring it, against version {known.version}", "strong")], []]
                lines += changed.lines(known.document, one)
            self.post_message(VersionRead(number, lines))

        self.studio.in_thread(load, group="version")

    @on(VersionRead)
    def _version_read(self, message: VersionRead) -> None:
        if self.view == "versions" and self.picks.cursor == str(message.version) and self.seen is not None:
            key = (self.seen.known.run, "version", message.version)
            self.query_one("#told", DocView).show(message.lines, key)

    def heads(self) -> None:
        """The lines above each part."""
        track, found = self.track, self.seen
        if track is None or not self.is_mounted:
            return
        if self.draft is not None:
            save, leave = actions.key("save"), actions.key("leave-edit")
            line: Line = [(f" {self.draft.title}", "warn"), (f"  {save} hands it in, {leave} leaves", "faint")]
            newer = found is not None and found.known.version != self.draft.base
            late: Line = [(" a version was written meanwhile ", "warn")] if newer else []
            self.query_one("#detail-head", Bar).show(line, late)
        if found is None:
            return
        known, shown = found.known, self.listed
        author = known.versions[-1].author
        left: Line = [(f" {count(len(shown), 'observation')}", "strong")]
        if self.sort is not learned.Sort.ALL or self.words:
            said = " ".join(filter(None, [self.sort.value if self.sort is not learned.Sort.ALL else "",
                                          f"“{self.words}”" if self.words else ""]))  # fmt: skip
            among = sum(each.gone is (self.sort is learned.Sort.OUT) for each in found.entries)
            left = [(f" {len(shown)} of {among} · ", "strong"), (said, "warn")]
        if self.marked:
            left.append((f"  ● {len(self.marked)} marked", "accent"))
        if disputed := len(known.conflicts):
            left += [(f"  ◇ {count(disputed, 'conflict')}", "warn"), (f" {actions.key('settle')}", "key")]
        by = f" by the {author}" if self.size.width >= WIDE else ""
        right: Line = [(f" version {known.version}{by} ", "faint")]
        self.query_one("#list-head", Bar).show(left, right)
        entry = self.entry
        if self.draft is None and entry is not None:
            self.query_one("#detail-head", Bar).show(detail.heading(entry), self._where(shown, entry))
        self._head_beside()

    @staticmethod
    def _where(shown: list[learned.Entry], entry: learned.Entry) -> Line:
        return [(f" {shown.index(entry) + 1}/{len(shown)} ", "faint")] if entry in shown else []

    def _head_beside(self) -> None:
        found = self.seen
        if found is None:
            return
        head = self.query_one("#told-head", Bar)
        known = found.known
        again = actions.key(self.view)
        match self.view:
            case "told":
                one = found.readings[self.whose % len(found.readings)]
                cells = self.size.width * 42 // 100 if self.size.width >= NARROW else self.size.width
                there = sum(not entry.gone for entry in found.entries)
                line = reading.heading(one, found.gate.next, there, cells)
                head.show(line, reading.meter(one.told.tokens, found.gate.cap, cells))
            case "changes":
                mine = self.against == "generation"
                before = known.before if mine else known.proposal
                latest = self.track.latest if self.track else 0
                said = f"since generation {latest} was told" if mine else "against the observer's proposal"
                number = f"v{before.version}" if before is not None else "nothing"
                head.show(
                    [(f" {said}", "strong"), (f"  {number}", "faint"), (f"  {again}", "key"), (" other", "faint")]
                )
            case "versions":
                head.show([(" versions", "strong"), ("  enter", "key"), (" restores one", "faint")])
            case _:
                head.show(planned.heading(found.gate))

    @on(PickList.Pointed, "#list")
    def _pointed(self) -> None:
        self.chosen = 0
        self.show_detail()
        self.heads()
        self.show_keys()

    @on(PickList.Pointed, "#picks")
    def _picked(self) -> None:
        self.show_beside()
        self.show_keys()

    def on_descendant_focus(self) -> None:
        try:
            self.show_keys()
        except NoMatches:
            return

    def redraw(self) -> None:
        super().redraw()
        self.show_list()

    def document_or_new(self) -> Document:
        """What there is, or an empty one of the run."""
        if self.seen is not None:
            return self.seen.known.document
        return Document(self.studio.run_name or "")


_EARLY = (
    "When all subagents of a generation have ended, the observer reads their tapes and writes here what they showed: "
    "which repairs failed, which helped, what holds of the code. You edit it at the gate; the next generation gets it."
)


def _nothing(known: bool, written: bool) -> list[Line]:
    if not known:
        return [[("No run to show. ", "strong"), (actions.key("runs"), "key"), (" lists the runs.", "text")]]
    if written:
        return [[("Reading the observations …", "faint")]]
    add: Line = [(actions.key("add"), "key"), (" writes one of your own, which the next generation gets.", "text")]
    return [[("Nothing was learned yet.", "strong")], [], [(_EARLY, "text")], [], add]
