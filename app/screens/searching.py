"""The search over a run's tapes, as a part of the Traces screen."""

from textual import events, on
from textual.widgets import Input

from app.finding import Place, find
from app.screens.base import StudioScreen
from app.screens.going import Goal
from app.screens.traced import Found
from store.domain.secrets import shown_line
from widgets.ink import Line
from widgets.tracetree import TraceTree


class Searching(StudioScreen):
    """What was searched for, what was found, and which of that the cursor is on."""

    def __init__(self) -> None:
        super().__init__()
        self._hits: list[Place] = []
        self._hit = -1
        self._query = ""

    def go_to(self, goal: Goal) -> None:
        """Bring the cursor there."""
        raise NotImplementedError

    def forget_hits(self) -> None:
        """It is another trace."""
        self._hits, self._hit, self._query = [], -1, ""

    def search_line(self) -> Line:
        """What was searched for, and where among the hits the cursor is."""
        if not self._query:
            return []
        place = f"{self._hit + 1} of {len(self._hits)}" if self._hits else "nothing"
        return [(f"  / {shown_line(self._query, 24)}: {place}", "warn")]

    def why_not_search(self, action: str) -> str:
        """Why one of its actions can't be done now."""
        if action in ("next-hit", "previous-hit") and not self._hits:
            return "nothing was searched for; / searches" if not self._query else "nothing was found"
        return ""

    def do_search(self) -> None:
        field = self.query_one(Input)
        field.add_class("on")
        field.value = ""
        field.focus()

    def on_key(self, event: events.Key) -> None:
        if event.key == "escape" and self.query_one(Input).has_class("on"):
            self._leave_search()

    def _leave_search(self) -> None:
        self.query_one(Input).remove_class("on")
        self.query_one(TraceTree).focus()

    @on(Input.Submitted)
    def _search(self, message: Input.Submitted) -> None:
        message.stop()
        self._leave_search()
        query, run = message.value.strip(), self.studio.run_name
        self._query, self._hits, self._hit = query, [], -1
        self.query_one(TraceTree).mark_hits(frozenset())
        if not query:
            self.update()
            return

        def read() -> None:
            self.post_message(Found(query, find(self.studio.feed.store(), query, run or "")))

        self.studio.in_thread(read, group="search")

    @on(Found)
    def _found(self, message: Found) -> None:
        if message.query != self._query:
            return
        self._hits = message.hits
        self.query_one(TraceTree).mark_hits(frozenset(key for _, _, key in message.hits))
        self.show_keys()
        if self._hits:
            self._step(1)
        else:
            self.studio.say(f"Nothing in this run has “{shown_line(self._query, 60)}”.", "warning")
            self.update()

    def do_next_hit(self) -> None:
        self._step(1)

    def do_previous_hit(self) -> None:
        self._step(-1)

    def _step(self, by: int) -> None:
        self._hit = (self._hit + by) % len(self._hits) if self._hit >= 0 or by > 0 else len(self._hits) - 1
        who, turn, key = self._hits[self._hit]
        self.go_to(Goal(who, key, turn))
        self.update()
