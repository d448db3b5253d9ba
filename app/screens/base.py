"""What all screens share: the bars at their edges, and how an action of the registry finds its method."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from app import actions
from app.world import Track, World
from store.domain.secrets import shown_line
from widgets import words
from widgets.bars import Banner, Bar, KeyBar, TabBar
from widgets.ink import Line
from widgets.states import RUN
from widgets.timeline import Timeline

if TYPE_CHECKING:
    from app.studio import Studio

NARROW = 100
"""Cells under which a screen shows less beside each other."""
LOW = 30
"""Rows under which a playback's timeline takes fewer."""
WIDE = 140
"""Cells from which there is room for everything."""
OPENING = ("text", "fork")
"""Groups of threads that read what something opens with."""
NO_RUN = "No run to show. {} lists the runs; multitrack demo makes one."
"""What a screen says of nothing, with the key."""


def bindings(screen: str) -> list[BindingType]:
    """The keys of a screen's own actions."""
    return [
        Binding(",".join(action.keys), f"app.do('{action.id}')", action.title, show=False, id=action.id)
        for action in actions.ACTIONS
        if screen in action.where
    ]


class StudioScreen(Screen[None]):
    """A screen. Its `do_ACTION` methods carry out the registry's actions; `why_not` says when one can't be done."""

    NAME: ClassVar[str] = ""
    """The screen's id in the registry."""
    OF_RUN: ClassVar[bool] = True
    """It shows one run, and has that run's line under the tabs."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: tuple[object, ...] = ()
        self._shown: str | None = None

    @property
    def studio(self) -> "Studio":
        return cast("Studio", self.app)

    @property
    def world(self) -> World:
        return self.studio.world

    @property
    def track(self) -> Track | None:
        """The run that is shown."""
        return self.studio.track

    def compose(self) -> ComposeResult:
        tabs = [(name, actions.key(name), actions.find(name).title) for name in actions.SCREENS]
        yield TabBar(tabs, self.NAME)
        if self.OF_RUN:
            yield Bar(id="run")
        yield Banner(id="banner")
        yield from self.body()
        yield Timeline(id="timeline")
        yield KeyBar()

    def body(self) -> ComposeResult:
        """The screen's own widgets."""
        yield from ()

    def update(self) -> None:
        """Show the world as it is now. Called at most once a tick, when something has changed."""

    def banner(self) -> Line:
        """One line that the operator should see, empty when there is none."""
        return run_banner(self.track, self.size.width, self.NAME)

    def why_not(self, action: str) -> str:
        """Why an action can't be done now; "" when it can."""
        return ""

    def performer(self, action: str) -> Callable[[], object] | None:
        """What carries an action out on this screen."""
        found: Callable[[], object] | None = getattr(self, f"do_{action.replace('-', '_')}", None)
        return found

    @property
    def reading(self) -> bool:
        """It has yet to read what it shows, or to show what was read."""
        return not self.world.problem and (not self._was_read or self._shown != self.studio.run_name)

    @property
    def _was_read(self) -> bool:
        return self.world.opened and (self.track is None or self.track.read)

    def at_work(self, *groups: str) -> bool:
        """Whether a thread of one of these groups is still at work."""
        return any(worker.group in groups and not worker.is_finished for worker in self.workers)

    def holds(self, key: str) -> bool:
        """Whether what a key is for is still being read: what opens something waits for the screen, and all that is
        typed into that waits for it to open."""
        if self.at_work(*OPENING):
            return True
        return self.reading and any(key in action.keys for action in self.offered() if action.id in actions.TYPED)

    def note(self) -> None:
        """Tell the app's `where` where the operator is on this screen."""

    def leaving(self) -> str:
        """A sentence for the operator who closes the app here."""
        return ""

    def renew(self) -> None:
        """The settings are others: show everything anew."""
        self.query_one(TabBar).name_keys({name: actions.key(name) for name in actions.SCREENS})
        self._seen = ()
        self.tick()

    def tick(self) -> None:
        """The app's clock: bring everything up to date, when there is something new."""
        self.query_one(Timeline).show(self.studio.reading())
        seen = (self.world.version, int(self.studio.now()), self.size, self.studio.run_name)
        if seen == self._seen:
            return
        self._seen = seen
        self.redraw()

    def redraw(self) -> None:
        """Show everything anew."""
        self.set_class(self.size.width < NARROW, "narrow")
        self.set_class(self.size.height < LOW, "low")
        self.query_one(TabBar).show(attention(self.world, self.size.width))
        if self.OF_RUN:
            self.query_one("#run", Bar).show(*run_line(self.track, self.studio.now(), self.size.width))
        self.update()
        self._shown = self.studio.run_name if self._was_read else None
        line: Line = [(f" ⚠ {shown_line(self.world.problem)}", "bad")] if self.world.problem else self.banner()
        self.query_one(Banner).show(line)
        self.show_keys()

    def offered(self) -> tuple[actions.Action, ...]:
        """What works on this screen, live or in a playback."""
        return actions.on(self.NAME, playback=self.studio.playback is not None)

    def in_footer(self, action: actions.Action) -> bool:
        """Whether the footer has room for an action when it can be done."""
        return action.footer

    def show_keys(self) -> None:
        """Only what works here and now stands in the footer; the screens' own keys stand in the tabs."""
        works = [
            (action.id, actions.key_name(action.keys[0]), action.title)
            for action in self.offered()
            if self.in_footer(action) and action.id not in actions.SCREENS and not self.studio.why_not(action.id)
        ]
        self.query_one(KeyBar).show(works)

    def on_screen_resume(self) -> None:
        self._seen = ()
        self.tick()

    def on_resize(self) -> None:
        self._seen = ()
        self.tick()

    def on_timeline_scrubbed(self, message: Timeline.Scrubbed) -> None:
        message.stop()
        self.studio.scrub(message.share)

    def on_key_bar_pressed(self, message: KeyBar.Pressed) -> None:
        message.stop()
        self.studio.action_do(message.action)

    def on_tab_bar_pressed(self, message: TabBar.Pressed) -> None:
        message.stop()
        self.studio.action_do(message.action)


def attention(world: World, cells: int) -> Line:
    """At the right of the tabs: what goes on in all runs; where there is little room, what asks most."""
    waiting = sum(track.waiting for track in world.tracks.values())
    running = sum(track.alive and not track.board.state.final and not track.waiting for track in world.tracks.values())
    line: Line = []
    if any(track.played for track in world.tracks.values()):
        return [(" playback ", "badge")]
    if running:
        line.append((f"▶ {running} running ", "accent"))
    if waiting:
        line.append((f"◆ {waiting} at gate ", "warn"))
    return line if cells >= NARROW else line[-1:]


def run_line(track: Track | None, now: float, cells: int) -> tuple[Line, Line]:
    """The shown run in one line: which it is and where it stands; at the right its numbers."""
    if track is None:
        return [(" no run yet", "faint")], []
    left: Line = [(f" {track.id} ", "strong"), track.mark.span]
    if not track.read:
        return left, []
    board = track.board
    if track.latest:
        left.append((f"  generation {track.latest} of {track.planned}", "text"))
    left.append((f"  {shown_line(track.title)}", "faint"))
    right: Line = [(" ", "text")]
    generation = board.generation
    if generation is not None:
        right.append((f"{generation.solved(clean=False)}/{generation.count(clean=False)} solved", "text"))
        if cells >= NARROW and generation.count(clean=True):
            right.append((f" · clean {generation.solved(clean=True)}/{generation.count(clean=True)}", "faint"))
        right.append(
            (f" · {words.count(board.known, 'observation') if cells >= WIDE else f'{board.known} obs'}", "text")
        )
    spent = board.spent(now if track.alive else board.at)
    right.append((f"{' · ' if generation else ''}{words.money(spent)}", "text"))
    if cells >= WIDE:
        right.append((f" · {words.duration(spent.seconds)}", "faint"))
    if track.scripted:
        right += [(" ", "text"), (" scripted model ", "badge")]
    return left, right


def run_banner(track: Track | None, cells: int, screen: str = "") -> Line:
    """What the run wants of the operator, if anything."""
    if track is None or not track.read:
        return []
    board = track.board
    if track.interrupted:
        # The grid has room to say it in full until there are panes.
        if board.left and (screen != "grid" or board.generation is not None):
            said = f"interrupted: {shown_line(board.left, 2 * cells)}"
        elif cells >= NARROW:
            said = "interrupted: no engine works on this run. What is finished is kept."
        else:
            said = "no engine works on this run"
        return [(f" ⚠ {said}", "bad"), (f"  {actions.key('resume')}", "key"), (" resume", "text")]
    if track.waiting and board.generation is not None:
        number = board.generation.number
        line: Line = [(f" ◆ gate after generation {number}", "banner")]
        if cells >= NARROW:
            line.append((f": {words.count(board.known, 'observation')} known", "text"))
            line += (
                [(f"  {actions.key('observations')}", "key"), (" read them", "text")]
                if screen != "observations"
                else []
            )
        return [
            *line,
            (f"  {actions.key('launch')}", "key"),
            (f" launch generation {number + 1}", "text"),
            (f"  {actions.key('launch-rest')}", "key"),
            (" launch all", "text"),
        ]
    if board.finished is not None:
        mark = RUN[board.finished.state]
        return [
            (f" {mark.glyph} {mark.word}", mark.ink), (f": {shown_line(board.finished.reason)}", "text"),
            (f"  {actions.key('report')}", "key"), (" report", "text"),
        ]  # fmt: skip
    if board.baseline is not None and board.baseline.refused:
        return [(f" ⚠ {shown_line(board.baseline.refused)}", "bad")]
    return []
