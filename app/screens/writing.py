"""The field in which observations are written, as a part of their screen, and where two edits disagree."""

from textual.widgets import TextArea

from app import drafting
from app.drafting import Draft, Kind
from app.screens.ask import Ask
from app.screens.curating import Curating
from app.screens.settling import Settled, Settling
from store.domain.commands import ChangeObservations, EditObservations
from store.domain.observations import Author
from store.domain.observations import changes as do
from store.domain.safe_text import safe


class Writing(Curating):
    """One draft at a time. What is refused stays in the field."""

    def back(self) -> None:
        """One step back from where one reads."""
        raise NotImplementedError

    @property
    def editing(self) -> bool:
        """The field is open."""
        return self.draft is not None

    @property
    def changed(self) -> bool:
        """The field has something that the record hasn't."""
        return self.draft is not None and self.query_one(TextArea).text != self.draft.before

    def begin(self, draft: Draft) -> None:
        """Open the field."""
        self.draft = draft
        self.remove_class("empty", "beside", "reading")
        self.add_class("drafting")
        self.set_class(draft.kind is Kind.FILE, "whole")
        field = self.query_one("#editor", TextArea)
        field.text = draft.before
        field.focus()
        field.move_cursor(field.document.end if draft.kind is Kind.ADD else (0, 0))
        self.heads()
        if self.seen is None:
            self.redraw()

    def do_edit(self) -> None:
        if self.seen is not None:
            self.begin(drafting.editing(self.seen.known.document, self.targets[0]))

    def do_add(self) -> None:
        self.begin(drafting.adding(self.document_or_new()))

    def do_merge(self) -> None:
        if self.seen is not None:
            self.begin(drafting.merging(self.seen.known.document, self.targets))

    def do_split(self) -> None:
        if self.seen is not None:
            self.begin(drafting.splitting(self.seen.known.document, self.targets[0]))

    def do_edit_file(self) -> None:
        if self.seen is not None:
            known = self.seen.known
            self.begin(Draft(Kind.FILE, (), known.version, safe(known.text)))

    def do_save(self) -> None:
        draft = self.draft
        if draft is None:
            return
        text = self.query_one(TextArea).text
        order: ChangeObservations | EditObservations
        if draft.kind is Kind.FILE:
            order = EditObservations(text, draft.base)
            nothing = not self.changed
        else:
            try:
                made = drafting.changes(draft, text)
            except ValueError as error:
                said = str(error)
                self.studio.say(f"{said[:1].upper()}{said[1:]}.", "warning")
                return
            order, nothing = ChangeObservations(draft.base, made), not made
        if nothing:
            self.studio.say("Nothing was changed.")
            self.leave_draft()
            return

        def done() -> None:
            # Refused, or written on meanwhile, the text stays: nothing that was typed is lost.
            if self.draft is draft and self.query_one(TextArea).text == text:
                self._new = draft.kind in (Kind.ADD, Kind.SPLIT)
                self.leave_draft()

        self.give(order, done)

    def do_leave_edit(self) -> None:
        if self.draft is None:
            self.back()
            return
        if not self.changed:
            self.leave_draft()
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.leave_draft()

        said = "What you wrote is not handed in, and will be lost."
        self.studio.push_screen(Ask("Leave the editor?", said, "Leave"), answered)

    def leave_draft(self) -> None:
        """Close the field."""
        self.draft = None
        self.remove_class("drafting", "whole")
        self.listing.focus()
        self.redraw()
        self.show()
        self.show_keys()

    def arrived(self, before: "set[str] | None") -> None:
        """A version was read: go to what the operator has just written."""
        if not self._new or self.seen is None or before is None:
            return
        fresh = [
            entry.observation.id
            for entry in self.seen.entries
            if entry.observation.id not in before and entry.observation.author is Author.OPERATOR
        ]
        if fresh:
            self._new = False
            self.listing.point(fresh[0])

    def do_settle(self) -> None:
        if self.seen is None:
            return
        known = self.seen.known
        here = self.listing.cursor
        first = next((at for at, one in enumerate(known.conflicts) if one.id == here), 0)

        def answered(settled: Settled | None) -> None:
            if settled is None:
                return
            one = settled.conflict
            if settled.what == "edit":
                self.listing.point(one.id)
                self._edit_both(settled)
                return
            self.change([do.Resolve(one.id, one.field, settled.what == "take", one.value)])

        self.studio.push_screen(Settling(known.document, known.conflicts, first), answered)

    def _edit_both(self, settled: Settled) -> None:
        """Put both sides into words by hand; the conflict is settled with them."""
        one = settled.conflict
        entry = self.seen.entry(one.id) if self.seen is not None else None
        if self.seen is None or entry is None:
            return
        draft = drafting.settling(self.seen.known.document, entry.observation, one)
        self.begin(draft)
