"""The field in which observations are written, as a part of their screen, and where two edits disagree."""

from textual import on
from textual.timer import Timer
from textual.widgets import TextArea

from app import actions, drafting
from app.drafting import Draft, Kind
from app.screens.ask import Ask
from app.screens.curating import Curating
from app.screens.settling import Settled, Settling
from app.unsaved import Unsaved
from store.domain.commands import ChangeObservations, EditObservations
from store.domain.observations import Author
from store.domain.observations import changes as do
from store.domain.safe_text import safe

PAUSE = 0.3
"""Seconds after a key until what was typed is kept in a file."""


class Writing(Curating):
    """One draft at a time. What is refused stays in the field; what was neither handed in nor left is there again when
    the run is next shown, also when the screen was killed."""

    def __init__(self) -> None:
        super().__init__()
        self._unsaved: Unsaved | None = None
        self._of = ""
        """The run that is written for."""
        self._looked = ""
        """The run whose drafts were looked for."""
        self._keeping: Timer | None = None

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

    def begin(self, draft: Draft, text: str | None = None) -> None:
        """Open the field, with what was written already or with how the draft begins."""
        self.draft = draft
        if self.track is not None and (self._unsaved is None or self._of != self.track.id):
            self._of, self._unsaved = self.track.id, Unsaved(self.studio.home.folder(self.track.id))
        self.remove_class("empty", "beside", "reading")
        self.add_class("drafting")
        self.set_class(draft.kind is Kind.FILE, "whole")
        field = self.query_one("#editor", TextArea)
        field.text = draft.before if text is None else text
        field.read_only = False
        field.focus()
        field.move_cursor(field.document.end if draft.kind is Kind.ADD or text is not None else (0, 0))
        self.heads()
        if self.seen is None:
            self.redraw()

    # What is written is kept.

    def mind_draft(self) -> None:
        """Another run may be shown: what is written for the one before is put away, what was left here taken up."""
        run = self.track.id if self.track is not None else ""
        if not run or run == self._looked:
            return
        if self.draft is not None and self._of != run:
            if self.changed:
                self.studio.say(f"What you were writing is kept with run {self._of}.")
            self.keep_draft()
            self.close()
        self._looked = run
        if self.draft is None and self.studio.playback is None:
            unsaved = Unsaved(self.studio.home.folder(run))
            if (found := unsaved.left()) is not None:
                self._of, self._unsaved = run, unsaved
                self.begin(*found)
                self.studio.say("What you were writing when you left is here again.")

    @on(TextArea.Changed, "#editor")
    def _written(self) -> None:
        if self._keeping is None:
            self._keeping = self.set_timer(PAUSE, self.keep_draft)

    def keep_draft(self) -> None:
        """Keep in a file what is in the field."""
        if self._keeping is not None:
            self._keeping.stop()
            self._keeping = None
        if self.draft is not None and self._unsaved is not None:
            if self.changed:
                self._unsaved.keep(self.draft, self.query_one(TextArea).text)
            else:
                self._unsaved.forget()

    def note(self) -> None:
        self.keep_draft()

    def on_unmount(self) -> None:
        if self._unsaved is not None:
            self._unsaved.release()

    def leaving(self) -> str:
        if not self.changed:
            return ""
        screen = f"the {actions.find('observations').title} screen ({actions.key('observations')})"
        return f"What you were writing is kept: {screen} of run {self._of} has it."

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

        field = self.query_one(TextArea)

        def done(applied: bool) -> None:
            field.read_only = False
            if applied and self.draft is draft:
                self._new = draft.kind in (Kind.ADD, Kind.SPLIT)
                if draft.kind is Kind.MERGE:
                    self.listing.point(draft.ids[0])
                self.leave_draft()

        # Until it is answered nothing is typed that would not be handed in; refused, the text stays.
        field.read_only = True
        self.keep_draft()
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
        """Close the field, and forget what is in it."""
        if self._unsaved is not None:
            self._unsaved.forget()
        self.close()
        self.redraw()
        self.show()
        self.show_keys()

    def close(self) -> None:
        """Close the field."""
        if self._unsaved is not None:
            self._unsaved.release()
        self.draft, self._unsaved = None, None
        self.remove_class("drafting", "whole")
        self.listing.focus()

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
