"""The app on the terminal. It shows the record and issues orders; it does no work, and leaving it stops nothing."""

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, cast

from rich.console import RenderableType
from rich.text import Text
from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.screen import Screen

import themes
from app import actions, calling, terminal
from app.configured import Configured
from app.disk import Weigh, weigh
from app.playback.feed import Start
from app.playback.playing import no_orders
from app.screens.base import StudioScreen
from app.settings import Configuration
from app.whereabouts import Kept, Whereabouts
from app.world import Track
from store.domain.commands import Command, Launch, Stop
from store.domain.events import CommandSettled
from store.domain.ids import SubagentId
from store.domain.states import RunState
from store.home import Home
from widgets.labels import Labels

if TYPE_CHECKING:
    from app.hopping import Hop
    from app.screens.going import Goal

StartEngine = Callable[[str], object]
"""Starts an engine for a run and returns when it works. Whatever it raises is told to the operator."""

NOTED = 5.0
"""Seconds after which it is noted where the operator is: a terminal may be closed at any time."""

Answered = Callable[[bool], object]
"""Told whether an order was applied."""


def _screen(name: str) -> Callable[[], Screen[None]]:
    """Makes a screen when it is first shown: the first paint pays for one screen alone."""

    def make() -> Screen[None]:
        module = import_module(f"app.screens.{name}")
        return cast("Screen[None]", getattr(module, f"{name.title()}Screen")())

    return make


class Studio(Configured):
    """The screens of one home. `run` is the name of the run that is shown first; without one it is the newest."""

    CSS_PATH = str(themes.style_sheet())
    TITLE = "multitrack"
    SCREENS: ClassVar[dict[str, Callable[[], Screen[None]]]] = {name: _screen(name) for name in actions.SCREENS}
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(",".join(action.keys), f"app.do('{action.id}')", action.title, show=False, id=action.id)
            for action in actions.ACTIONS
            if actions.EVERYWHERE in action.where and action.id != "palette"
        ),
        Binding(
            actions.find("palette").keys[0], "command_palette", "Commands", show=False, id="palette", priority=True
        ),
    ]

    @staticmethod
    def _palette() -> type[Provider]:
        from app.palette import Palette

        return Palette

    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {_palette}

    def __init__(
        self,
        home: Home,
        run: str | None = None,
        screen: str = "runs",
        *,
        start_engine: StartEngine | None = None,
        weigh: Weigh = weigh,
        clock: Callable[[], float] = time.time,
        configuration: Configuration | None = None,
        ascii_only: bool | None = None,
        low_bandwidth: bool | None = None,
        play: Start | None = None,
        kept: Kept | None = None,
    ) -> None:
        """`play` has a run played from the start. `kept` says where the operator was, and is told where they are; a
        `run` goes before what it says."""
        self._kept = kept
        self.where = kept.read() if kept else Whereabouts()
        self._returning = self.where.run if run is None else ""
        if run is None and self.where.screen in actions.SCREENS:
            run, screen = self.where.run or None, self.where.screen
        super().__init__(
            home, run, clock, configuration=configuration, ascii_only=ascii_only, low_bandwidth=low_bandwidth
        )
        self.weigh = weigh
        self._first = screen
        self._calling, self._marked = calling.Calling(), False
        self._start_engine = start_engine or self._start_in_a_process
        self._orders: dict[int, tuple[str, Answered | None]] = {}
        self._answers: dict[int, CommandSettled] = {}
        self._starting: set[str] = set()
        self._hop: Hop | None = None
        self.sought: tuple[Goal, str] | None = None
        """A place that the trace is to go to, and what is quoted of it."""
        if play is not None:
            self.play(play)

    # Beginning and end.

    def on_mount(self) -> None:
        self.begin_watching()
        self.push_screen(self._first)
        self.set_interval(self.tick_seconds, self._tick)
        self.set_interval(NOTED, self.note)
        self.call_after_refresh(self.begin_configured)

    async def on_unmount(self) -> None:
        self._tell_terminal(calling.BACK if self._marked else "")
        self.end_configured()
        await self.end_watching()

    def _fatal_error(self) -> None:
        """A fault of our own ends the screen with a sentence, not with a traceback and the values of its variables."""
        self._exit_renderables.append(Text(terminal.last_words(self.home.root / "screen.log")))
        self._close_messages_no_wait()

    def _tick(self) -> None:
        # Behind a question the screen goes on; between two screens there is none.
        if self.place is not None:
            # The record's libraries are imported when the first screen stands.
            self.follow()
            self.place.tick()
            if self.live.opened and self._returning:
                if self._returning not in self.live.tracks:
                    # It was deleted: what there was to come back to is gone.
                    self.go("runs")
                self._returning = ""
            if self.live.opened and all(track.read for track in self.live.tracks.values()):
                self._call()

    def _call(self) -> None:
        """Ring and mark the title when something begins to need the operator, on whatever screen they are."""
        ring, title = self._calling.look(calling.needing(self.live))
        if ring:
            self.bell()
        if title:
            self._tell_terminal(("" if self._marked else calling.SAVE) + calling.sequence(title))
            self._marked = True

    def _tell_terminal(self, sequence: str) -> None:
        if sequence and self._driver is not None:
            self._driver.write(sequence)

    def note(self) -> None:
        """Note where the operator is, for when the app is opened again. A playback is no place to come back to."""
        if self.playback is None and self.place is not None:
            self.place.note()
            self.where = replace(self.where, screen=self.place.NAME, run=self.run_name or "")
            if self._kept is not None:
                self._kept.write(self.where)

    def exit(self, result: None = None, return_code: int = 0, message: RenderableType | None = None) -> None:
        self.note()
        super().exit(result, return_code, message)

    def gate_opened(self, track: Track) -> None:
        self.say(
            f"Run {track.id} waits at the gate after generation {track.latest}. "
            f"{actions.key('launch')} launches the next one.",
            "warning",
        )

    # Orders to the engine.

    def order(self, run: str, command: Command, what: str, done: Answered | None = None) -> None:
        """Issue an order; its outcome is told when the engine has answered, unless `what` is "", and `done` called."""
        if self.playback is not None:
            self.say(f"{what or command.name}: {no_orders()}.", "warning")
            return

        def issue() -> None:
            from store import commands

            number = commands.issue(self.feed.store(), run, command, at=self._clock())
            self.call_from_thread(self._ordered, number, run, what, done)

        self.in_thread(issue, group="orders", exclusive=False)

    def _ordered(self, number: int, run: str, what: str, done: Answered | None) -> None:
        self._orders[number] = what, done
        if number in self._answers:
            self.settled(self._answers[number])
            return
        track = self.world.tracks.get(run)
        if what and (track is None or not track.alive):
            self.say(
                f"{what}: no engine works on run {run}. The order waits until one does; "
                f"{actions.key('resume')} resumes the run.",
                "warning",
            )

    def settled(self, payload: CommandSettled) -> None:
        if payload.command not in self._orders:
            # Another screen's order, or one whose number we are yet to hear of.
            self._answers[payload.command] = payload
            return
        what, done = self._orders.pop(payload.command)
        if what:
            self.say(f"{what}: {payload.outcome}", "information" if payload.applied else "warning")
        if done is not None:
            done(payload.applied)

    def _start_in_a_process(self, run: str) -> None:
        from app import engines

        engines.start(self.home, run, os.environ)

    # Actions of the registry.

    @property
    def place(self) -> StudioScreen | None:
        """The screen that the operator is on, whatever asks something in front of it."""
        if not self.is_running:
            # The app is being closed, and its screens lose their widgets one by one.
            return None
        places = (screen for screen in reversed(self.screen_stack) if isinstance(screen, StudioScreen))
        # One that is just being opened has nothing on it yet.
        return next((screen for screen in places if screen.is_mounted), None)

    def why_not(self, action: str) -> str:
        """Why an action can't be done now; "" when it can. What every screen has to say, then the screen itself."""
        if said := self.why_not_played(action):
            return said
        track = self.track
        board = track.board if track else None
        match action:
            case "launch" | "launch-rest":
                if track is None or board is None:
                    return "there is no run yet"
                if board.state is not RunState.GATE:
                    return f"run {track.id} waits at no gate"
            case "stop":
                if track is None or board is None or not track.read or board.state.final or track.recording:
                    return "there is nothing to stop"
            case "resume":
                if track is not None and track.recording:
                    return "a recording can't be resumed: `multitrack exec` and `proxy` begin others"
                if track is None or not track.interrupted:
                    return "an engine works on this run" if track and track.alive else "this run is over"
                if track.id in self._starting:
                    return f"run {track.id} is being resumed"
            case _:
                pass
        return self.place.why_not(action) if self.place else ""

    def action_do(self, action: str) -> None:
        """Carry out an action of the registry, or say why not."""
        place = self.place
        reason = self.why_not(action)
        if reason:
            self.say(reason[0].upper() + reason[1:] + ".", "warning")
            if action in actions.TYPED:
                self.forget_typed()
            return
        perform = place.performer(action) if place else None
        perform = perform or getattr(self, f"do_{action.replace('-', '_')}", None)
        if perform is not None:
            perform()
        elif action in actions.SCREENS:
            self.go(action)
        if self.place:
            self.place.show_keys()

    def go(self, screen: str) -> None:
        """Show another screen."""
        place = self.place
        if place is not None and place is self.screen and screen != place.NAME:
            self.note()
            self.switch_screen(screen)

    def open_tape(self, subagent: SubagentId) -> None:
        """Show a subagent's trace."""
        self.show_run(subagent.run)
        self.world.pointed = subagent
        self.go("traces")

    def open_span(self, goal: "Goal", quote: str) -> None:
        """Show a place in a trace, what is quoted of it marked."""
        self.show_run(goal.who.run)
        self.sought = goal, quote
        self.go("traces")

    def do_launch(self) -> None:
        if self.track is not None:
            self.order(self.track.id, Launch(), f"launch generation {self.track.latest + 1}")

    def do_launch_rest(self) -> None:
        if self.track is not None:
            self.order(self.track.id, Launch(rest=True), "launch all generations that follow")

    def do_stop(self) -> None:
        from app.screens.ask import Ask

        track = self.track
        if track is None:
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.order(track.id, Stop(), f"stop run {track.id}")

        said = "Its subagents end now; what they did is checked, observed and reported. A stopped run can't be resumed."
        self.push_screen(Ask(f"Stop run {track.id}?", said, "Stop it"), answered)

    def do_resume(self) -> None:
        track = self.track
        if track is None:
            return
        run = track.id
        self._starting.add(run)
        self.say(f"Starting an engine for run {run} …")

        def start() -> None:
            try:
                self._start_engine(run)
            finally:
                self._starting.discard(run)

        self.in_thread(start, group=f"engine-{run}")

    def do_theme(self) -> None:
        self.next_theme()

    def do_labels(self) -> None:
        from app.hopping import Hop

        self._hop = Hop(self.screen)
        self._hop.begin()

    def on_labels_typed(self, message: Labels.Typed) -> None:
        if self._hop is not None and self._hop.typed(message.character):
            self._hop = None

    def action_command_palette(self) -> None:
        from app.palette import Commands

        if not isinstance(self.screen, Commands):
            self.push_screen(Commands(placeholder="Search for commands", id="--command-palette"))

    def do_palette(self) -> None:
        self.action_command_palette()

    def do_help(self) -> None:
        from app.screens.help import Help

        self.push_screen(Help(self.place.NAME if self.place else "", playback=self.playback is not None))

    async def action_quit(self) -> None:
        """Textual's own key for it leaves as ours does."""
        self.do_quit()

    def action_help_quit(self) -> None:
        """Who presses ctrl+c wants to leave."""
        self.say(f"{actions.key('quit')} leaves the screen; engines go on.")

    def do_quit(self) -> None:
        alive = [track.id for track in self.live.newest() if track.alive]
        said = [self.place.leaving()] if self.place is not None and self.place.leaving() else []
        if alive:
            names = ", ".join(alive[:5])
            works, them = (
                ("An engine goes on with run", "it") if len(alive) == 1 else ("Engines go on with runs", "them")
            )
            again = f"`multitrack` shows {them} again, `multitrack watch` follows here."
            said.append(f"{works} {names}. {again}")
        self.exit(message=Text("\n".join(said)) if said else None)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The registry has them all."""
        return ()
