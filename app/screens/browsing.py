"""Where one reads, as a part of the Observations screen: marks, filter, evidence, and what stands beside the list."""

from textual import on
from textual.widgets import Input

from app import learned
from app.learned import Sort
from app.screens.ask import Ask
from app.screens.base import NARROW
from app.screens.choose import Choose
from app.screens.writing import Writing
from store.domain.observations import changes as do
from widgets.picklist import PickList


class Browsing(Writing):
    """Nothing of it changes the record, but for a version that is restored."""

    def do_mark(self) -> None:
        if self.listing.cursor:
            self.marked ^= {self.listing.cursor}
            self.listing.action_move(1)
            self._remarked()

    def do_mark_all(self) -> None:
        shown = {entry.observation.id for entry in self.listed}
        self.marked = self.marked - shown if shown <= self.marked else self.marked | shown
        self._remarked()

    def _remarked(self) -> None:
        self.show_list()
        self.heads()
        self.show_keys()

    def do_filter(self) -> None:
        if self.seen is None:
            return
        counts = {sort: len(learned.listed(self.seen.entries, sort)) for sort in Sort}
        choices = [(str(sort), f"{counts[sort]:>3}  {learned.MEANT[sort]}") for sort in Sort]

        def answered(value: str | None) -> None:
            if value is not None:
                self.sort = Sort(value)
                self.show()
                self.show_keys()

        self.studio.push_screen(Choose("Show only", choices, str(self.sort)), answered)

    def do_find(self) -> None:
        field = self.query_one("#find", Input)
        self.add_class("finding")
        field.can_focus = True
        field.value = self.words
        self.set_focus(field)

    @on(Input.Changed, "#find")
    def _typed(self, message: Input.Changed) -> None:
        message.stop()
        if self.has_class("finding"):
            self.words = message.value
            self.show()

    @on(Input.Submitted, "#find")
    def _found(self, message: Input.Submitted) -> None:
        message.stop()
        self.words = message.value
        self._leave_find()

    def _leave_find(self) -> None:
        self.remove_class("finding")
        self.query_one("#find", Input).can_focus = False
        self.set_focus(self.listing)
        self.show()

    # Where one reads.

    def back(self) -> None:
        """One step back: from what is typed, from beside, from the text, then marks and filter."""
        if self.has_class("finding"):
            self.words = ""
            self._leave_find()
        elif not self.listing.has_focus:
            self.remove_class("beside", "reading")
            self.listing.focus()
        elif self.marked:
            self.marked = set()
            self._remarked()
        elif self.sort is not Sort.ALL or self.words:
            self.sort, self.words = Sort.ALL, ""
            self.show()
        self.show_keys()

    @on(PickList.Chosen, "#list")
    def _read(self) -> None:
        if self.size.width < NARROW:
            self.add_class("reading")
        self.query_one("#detail").focus()

    def beside(self, view: str) -> bool:
        """Show one of the views beside the list; whether it was there already."""
        there = self.view == view and (self.size.width >= NARROW or self.has_class("beside"))
        self.view = view
        if self.size.width < NARROW:
            self.add_class("beside")
            self.remove_class("reading")
        self.show_beside()
        self.heads()
        self.query_one("#picks" if view in ("versions", "lanes") else "#told").focus()
        return there

    def do_told(self) -> None:
        if self.beside("told"):
            self.whose += 1
            self.show_beside()
            self.heads()

    def do_changes(self) -> None:
        if self.beside("changes"):
            self.against = "proposal" if self.against == "generation" else "generation"
            self.show_beside()
            self.heads()

    def do_versions(self) -> None:
        self.beside("versions")

    def do_lanes(self) -> None:
        self.beside("lanes")

    @on(PickList.Chosen, "#picks")
    def _picked_one(self, message: PickList.Chosen) -> None:
        if self.view == "lanes":
            self.studio.action_do("edit")
            return
        if self.seen is None or int(message.key) == self.seen.known.version:
            return
        number = int(message.key)

        def answered(yes: bool | None) -> None:
            if yes:
                self.change([do.Restore(number)])

        said = "The file is then as it was; what came since is dropped, not forgotten. Undo takes it back."
        self.studio.push_screen(Ask(f"Restore version {number}?", said, "Restore it"), answered)

    def do_next_span(self) -> None:
        self._span(1)

    def do_previous_span(self) -> None:
        self._span(-1)

    def _span(self, by: int) -> None:
        entry = self.entry
        if entry is not None and entry.observation.evidence:
            self.chosen = (self.chosen + by) % len(entry.observation.evidence)
            if self.size.width < NARROW:
                self.add_class("reading")
            self.show_detail()

    def do_evidence(self) -> None:
        entry, studio = self.entry, self.studio
        if entry is None or not entry.observation.evidence:
            return
        evidence = entry.observation.evidence[min(self.chosen, len(entry.observation.evidence) - 1)]
        if evidence.subagent.run not in self.world.tracks:
            studio.say(f"It was seen in run {evidence.subagent.run}, whose tapes are not in this home.", "warning")
            return

        def find() -> None:
            from app.whereto import way

            goal = way(studio.feed.store(), evidence)
            studio.call_from_thread(studio.open_span, goal, evidence.quote)

        studio.in_thread(find, group="span")
