"""What a person orders of observations, as a part of their screen."""

from collections.abc import Callable, Sequence

from app import actions, learned
from app.curate import ordered
from app.curate import told as told_of
from app.drafting import Draft
from app.learned import Entry, Sort
from app.screens.base import StudioScreen
from app.screens.choose import Choose
from app.screens.knowing import Seen
from store.domain.commands import ChangeObservations, EditObservations
from store.domain.observations import Claim, Document, Observation, Priority
from store.domain.observations import changes as do
from store.errors import StoreError
from widgets.picklist import PickList

_NOT_WHILE_WRITING = (
    *("add", "undo", "redo", "settle", "edit-file", "mark", "mark-all", "filter", "find", "evidence", "next-span"),
    *("previous-span", "launch", "launch-rest", "launch-uncurated", "again", "told", "changes", "versions", "lanes"),
)

ON_SOME = frozenset({"keep", "drop", "pin", "quarantine", "edit", "merge", "split", "priority", "claim"})
"""What is done to the marked observations, or to the one under the cursor."""


class Curating(StudioScreen):
    """Orders go to all that are marked, else to the one under the cursor. The engine of the run carries them out, and
    where none lives, this process does, under the run's lock."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Seen | None = None
        self.marked: set[str] = set()
        self.sort, self.words = Sort.ALL, ""
        self.chosen = 0
        """Which piece of evidence."""
        self.draft: Draft | None = None
        self._new = False
        """The next observations to come are what the operator has just written."""

    view: str
    against: str
    whose: int

    @property
    def listing(self) -> PickList:
        """The list of observations."""
        return self.query_one("#list", PickList)

    @property
    def picks(self) -> PickList:
        """The versions, or the lanes."""
        return self.query_one("#picks", PickList)

    def show(self) -> None:
        raise NotImplementedError

    def show_list(self) -> None:
        raise NotImplementedError

    def show_detail(self) -> None:
        raise NotImplementedError

    def show_beside(self) -> None:
        raise NotImplementedError

    def heads(self) -> None:
        raise NotImplementedError

    def document_or_new(self) -> Document:
        raise NotImplementedError

    @property
    def listed(self) -> list[Entry]:
        """What the filter leaves."""
        return learned.listed(self.seen.entries, self.sort, self.words) if self.seen is not None else []

    @property
    def entry(self) -> Entry | None:
        """The one under the cursor."""
        return self.seen.entry(self.listing.cursor) if self.seen is not None else None

    @property
    def targets(self) -> list[Observation]:
        """Whom an order goes to, in the order of the list; the one under the cursor first when it is marked."""
        if self.seen is None:
            return []
        here = self.entry
        if not self.marked:
            return [here.observation] if here is not None else []
        some = [entry.observation for entry in self.seen.entries if entry.observation.id in self.marked]
        return sorted(some, key=lambda o: here is None or o.id != here.observation.id)

    @property
    def in_lanes(self) -> bool:
        """The lanes of the next generation have the focus: what is done is done to them."""
        return self.view == "lanes" and self.picks.has_focus

    def why_not_curating(self, action: str) -> str:
        """Why one of its actions can't be done now."""
        save, leave = actions.key("save"), actions.key("leave-edit")
        if self.draft is not None and action in (*ON_SOME, *_NOT_WHILE_WRITING):
            return f"the editor is open: {save} hands the text in, {leave} leaves it"
        if action == "save" and self.draft is None:
            return f"nothing is being edited; {actions.key('edit')} edits the observation under the cursor"
        if action == "add":
            return "there is no run yet" if self.track is None or self.track.board.order is None else ""
        if self.seen is None and action in (*ON_SOME, *_NOT_WHILE_WRITING) and action not in ("launch", "launch-rest"):
            return "there are no observations yet"
        if self.seen is None:
            return ""
        known, targets = self.seen.known, self.targets
        if action in (*ON_SOME, "evidence", "next-span", "previous-span", "mark") and not targets:
            return "there is no observation under the cursor"
        if action == "merge" and len(targets) < 2:
            return f"mark two or more with {actions.key('mark')} that are to become one"
        if action in ("split", "edit") and len(targets) > 1:
            return f"{len(targets)} are marked, and only one at a time can be written"
        if action == "undo" and not known.stacks.undo:
            return "there is nothing to undo"
        if action == "redo" and not known.stacks.redo:
            return "there is nothing to redo"
        if action == "settle" and not known.conflicts:
            return "no two edits disagree"
        entry = self.entry
        if action in ("evidence", "next-span", "previous-span") and (entry is None or not entry.observation.evidence):
            return "it rests on no tape"
        return ""

    # Orders.

    def change(self, changes: Sequence[do.Change], done: Callable[[bool], object] | None = None) -> None:
        """Have a change made: all of it, or nothing."""
        track = self.track
        if track is None or not changes:
            return
        base = self.draft.base if self.draft is not None else self.document_or_new().version
        self.give(ChangeObservations(base, tuple(changes)), done)

    def give(self, order: ChangeObservations | EditObservations, done: Callable[[bool], object] | None = None) -> None:
        """Have an order carried out, by the engine or here, and tell what came of it; `done` hears whether it was."""
        track, studio = self.track, self.studio
        if track is None:
            return
        run = track.id

        def work() -> None:
            try:
                answer = ordered(studio.home, studio.feed.store(), run, order)
            except (StoreError, OSError) as error:
                answer = False, f"{error}"
            studio.call_from_thread(told, answer)

        def told(answer: tuple[bool, str] | None) -> None:
            applied = answer is not None and answer[0]
            studio.say(*told_of(run, answer))
            if applied:
                self.marked = set()
            if done is not None:
                done(applied)
            if applied:
                self.show()
                self.show_keys()

        studio.in_thread(work, group="curate", exclusive=False)

    def _each(self, made: Callable[[str], do.Change]) -> None:
        self.change([made(o.id) for o in self.targets])

    def do_keep(self) -> None:
        self._each(do.Keep)

    def do_drop(self) -> None:
        self._each(do.Drop)

    def do_pin(self) -> None:
        self._each(do.Pin)

    def do_quarantine(self) -> None:
        self._each(do.Quarantine)

    def do_undo(self) -> None:
        self.change([do.Undo()])

    def do_redo(self) -> None:
        self.change([do.Redo()])

    def do_priority(self) -> None:
        said = {
            Priority.IMPORTANT: "before all others in the prompt",
            Priority.POSSIBLE: "after what is important",
            Priority.INFORMATIONAL: "in the file; in a prompt when you keep or pin it",
        }
        self._choose(f"How much does {self._named()} matter?", [(str(p), said[p]) for p in Priority], "priority")

    def do_claim(self) -> None:
        self._choose(f"What is {self._named()}?", [(str(claim), "") for claim in Claim], "claim")

    def _choose(self, title: str, choices: list[tuple[str, str]], field: str) -> None:
        targets = self.targets

        def answered(value: str | None) -> None:
            if value is None:
                return
            if field == "priority":
                self.change([do.SetPriority(o.id, Priority(value)) for o in targets])
            else:
                self.change([do.SetClaim(o.id, Claim(value)) for o in targets])

        self.studio.push_screen(Choose(title, choices, str(getattr(targets[0], field))), answered)

    def _named(self) -> str:
        targets = self.targets
        return targets[0].id if len(targets) == 1 else f"each of {len(targets)}"
