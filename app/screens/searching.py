"""The search over tapes, as a part of the Traces screen: results come while one types, and never hold up a key."""

from typing import TYPE_CHECKING

from textual import events, on
from textual.app import ComposeResult
from textual.timer import Timer
from textual.widgets import Input

from app.finding import FIRST, LOOK, PAGE, Search, goal, result
from app.screens.base import StudioScreen
from app.screens.going import Goal
from app.screens.traced import Found
from store.domain.query import HELP
from widgets.bars import Bar
from widgets.ink import Line
from widgets.results import Results
from widgets.tracetree import TraceTree

if TYPE_CHECKING:
    from store.finding import Finder, Hit

PAUSE = 0.12
"""Seconds after a key until the search for what was typed begins."""
_MOVES = {"up": -1, "down": 1, "ctrl+p": -1, "ctrl+n": 1}
_CHOOSING = frozenset({*_MOVES, "pageup", "pagedown", "enter"})


class Searching(StudioScreen):
    """What is searched for, what was found, and which of that the cursor is on."""

    def __init__(self) -> None:
        super().__init__()
        self.search = Search()
        self._finder: Finder | None = None
        self._pause: Timer | None = None
        self._looking = False
        self._wanted = 0
        self._going: Hit | None = None
        """A place in a run that is being opened."""

    def search_parts(self) -> ComposeResult:
        """The list of what was found, what can be done with it, and the field."""
        yield Results(id="results")
        yield Bar(id="search-head", classes="head")
        yield Input(placeholder=HELP, id="search")

    def go_to(self, goal: Goal) -> None:
        """Bring the cursor there."""
        raise NotImplementedError

    def forget_hits(self) -> None:
        """It is another trace. What was found in all runs stays."""
        going, self._going = self._going, None
        if going is not None and going.run == self.studio.run_name and (there := goal(going)) is not None:
            self.call_later(self.go_to, there)
        if not self.search.everywhere:
            self.search = Search(number=self.search.number + 1)
            self._finder = None
            self._show()
        self._mark()

    def search_line(self) -> Line:
        """What was searched for, and where among the hits the cursor is."""
        return self.search.heading()

    def why_not_search(self, action: str) -> str:
        """Why one of its actions can't be done now."""
        if action in ("next-hit", "previous-hit") and not self.search.hits:
            return "nothing was searched for; / searches" if self.search.query.empty else "nothing was found"
        return ""

    def do_search(self) -> None:
        self.studio.in_thread(self._keep_up, group="keep-up")
        self.add_class("searching")
        field = self.query_one("#search", Input)
        field.add_class("on")
        field.focus()
        field.action_end()
        self._show()

    def _keep_up(self) -> None:
        """What has come since the last search is found as fast as the rest, soon after the first word is typed."""
        from store.finding.keeping import keep_up

        keep_up(self.studio.feed.store(), lambda: self.is_attached)

    def _leave_search(self) -> None:
        self.remove_class("searching")
        self.query_one("#search", Input).remove_class("on")
        self.query_one(TraceTree).focus()

    def holds(self, key: str) -> bool:
        """What is chosen is chosen among what was found for all that was typed."""
        if not self.has_class("searching") or key not in _CHOOSING:
            return super().holds(key)
        return self._pause is not None or (self.at_work("search") and not self.search.hits)

    def on_key(self, event: events.Key) -> None:
        """Keys that a field leaves: they are the list's."""
        if not self.has_class("searching") or not isinstance(self.focused, Input):
            return
        results = self.query_one(Results)
        if event.key == "escape":
            self._leave_search()
        elif event.key == "tab":
            self._ask(everywhere=not self.search.everywhere)
        elif event.key in _MOVES:
            results.move(_MOVES[event.key])
        elif event.key in ("pageup", "pagedown"):
            results.move(results.page if event.key == "pagedown" else -results.page)
        else:
            return
        event.stop()
        event.prevent_default()

    # Asking.

    @on(Input.Changed, "#search")
    def _typed(self, message: Input.Changed) -> None:
        message.stop()
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(PAUSE, self._ask)

    def _ask(self, *, everywhere: bool | None = None, typing: bool = True) -> None:
        if self._pause is not None:
            self._pause.stop()
            self._pause = None
        search, text = self.search, self.query_one("#search", Input).value.strip("\n")
        before = search.number
        if search.ask(
            text,
            self.studio.run_name,
            typing=typing,
            everywhere=search.everywhere if everywhere is None else everywhere,
        ):
            self._begin()
        if search.number != before:
            self._mark()
            self._show()
            self.look()

    def look(self) -> None:
        """Show the node under the cursor, with what is searched for marked."""
        raise NotImplementedError

    def _begin(self) -> None:
        from app.turning import is_wrong

        search, until = self.search, self.until_when
        runs = None if search.everywhere else [search.run or ""]
        number, query = search.number, search.query
        self._wanted = FIRST

        def make() -> None:
            from store.finding import Finder

            self._finder = Finder(self.studio.feed.store(), query, is_wrong, runs=runs, until=until)
            self._look(number, self._finder)

        self._finder, self._looking = None, True
        self.studio.in_thread(make, group="search")

    @property
    def until_when(self) -> float:
        """What comes later in a playback is not to be told. In Unix seconds."""
        raise NotImplementedError

    def _look(self, number: int, finder: "Finder") -> None:
        """Look on, in a thread, until there is enough, or something else is asked for."""
        missing = self._wanted
        while missing > 0 and not finder.done and number == self.search.number and self.is_attached:
            found = finder.more(missing, LOOK)
            missing -= len(found)
            self.post_message(Found(number, found, finder.done))
        self.post_message(Found(number, [], finder.done, over=True))

    @on(Found)
    def _found(self, message: Found) -> None:
        if not self.search.took(message.number, message.hits, done=message.done):
            return
        if message.over:
            self._looking = False
        self._mark()
        self._show()
        self.show_keys()

    def _more(self) -> None:
        finder, number = self._finder, self.search.number
        if finder is None or self._looking or self.search.done:
            return
        self._looking, self._wanted = True, PAGE
        self.studio.in_thread(lambda: self._look(number, finder), group="search")

    @on(Results.Ending)
    def _ending(self, message: Results.Ending) -> None:
        message.stop()
        self._more()

    def _show(self) -> None:
        """The list, and the line over it."""
        search, results = self.search, self.query_one(Results)
        if self.has_class("searching"):
            several = search.everywhere
            cursor = results.cursor if search.hits else 0
            results.show([result(hit, run=several) for hit in search.hits], search.word(), cursor)
            self.query_one("#search-head", Bar).show(*search.bar(self.studio.run_name or "", self.size.width))
        self.update()

    def _mark(self) -> None:
        run = self.studio.run_name
        there = (goal(hit) for hit in self.search.hits if hit.run == run)
        self.query_one(TraceTree).mark_hits(frozenset(one.key for one in there if one is not None and one.key))

    # Going.

    @on(Input.Submitted, "#search")
    def _enter(self, message: Input.Submitted) -> None:
        message.stop()
        self._choose()

    @on(Results.Chosen)
    def _clicked(self, message: Results.Chosen) -> None:
        message.stop()
        self._choose()

    def _choose(self) -> None:
        if self._pause is not None:
            self._ask()
        if self.search.hits:
            self._leave_search()
            self.search.at = self.query_one(Results).cursor
            self._visit(self.search.hits[self.search.at])
        elif self.search.query.empty:
            self._leave_search()

    def do_next_hit(self) -> None:
        self._step(1)

    def do_previous_hit(self) -> None:
        self._step(-1)

    def _step(self, by: int) -> None:
        search = self.search
        if not search.done and search.at + by >= len(search.hits) - Results.NEAR:
            self._more()
        if (hit := search.step(by)) is not None:
            self.query_one(Results).cursor = search.at
            self._visit(hit)

    def _visit(self, hit: "Hit") -> None:
        there = goal(hit)
        if there is None:
            self.studio.say(f"It is in no subagent's tape: multitrack calls {hit.call} shows it.", "warning")
        elif hit.run != self.studio.run_name:
            self._going = hit
            self.studio.show_run(hit.run)
        else:
            self.go_to(there)
        self.update()
