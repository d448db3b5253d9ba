"""The app on the terminal. It shows the record and issues orders; it does no work, and leaving it stops nothing."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import ClassVar, cast

from rich.text import Text
from textual import on
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.screen import Screen
from textual.theme import Theme

import themes
from app import actions, feeds, terminal
from app.disk import Weigh, weigh
from app.screens.base import StudioScreen
from app.world import Track, World
from store.domain.commands import Command, Launch, Stop
from store.domain.events import CommandSettled
from store.domain.ids import SubagentId
from store.domain.safe_text import safe_line
from store.domain.states import RunState
from store.home import Home

TICK = 1 / 8
"""Seconds between two looks at what has changed: one clock for the whole app."""


StartEngine = Callable[[str], object]
"""Starts an engine for a run and returns when it works. Whatever it raises is told to the operator."""

Answered = Callable[[bool], object]
"""Told whether an order was applied."""


def _screen(name: str) -> Callable[[], Screen[None]]:
    """Makes a screen when it is first shown: the first paint pays for one screen alone."""

    def make() -> Screen[None]:
        module = import_module(f"app.screens.{name}")
        return cast("Screen[None]", getattr(module, f"{name.title()}Screen")())

    return make


class Studio(App[None]):
    """The screens of one home. `run` is the name of the run that is shown first; without one it is the newest."""

    CSS_PATH = str(themes.style_sheet())
    TITLE = "multitrack"
    SCREENS: ClassVar[dict[str, Callable[[], Screen[None]]]] = {name: _screen(name) for name in actions.SCREENS}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(",".join(action.keys), f"app.do('{action.id}')", action.title, show=False, id=action.id)
        for action in actions.ACTIONS
        if actions.EVERYWHERE in action.where and action.id != "palette"
    ]
    COMMAND_PALETTE_BINDING: ClassVar[str] = actions.find("palette").keys[0]

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
        ascii_only: bool | None = None,
    ) -> None:
        super().__init__()
        self.home = home
        self.weigh = weigh
        self.run_name = run
        self.world = World()
        self.now = clock
        self.ascii = terminal.ascii_wanted() if ascii_only is None else ascii_only
        self.set_class(self.ascii, "ascii")
        self.feed = feeds.Feed(home, self.post_message)
        self._first = screen
        self._start_engine = start_engine or self._start_in_a_process
        self._orders: dict[int, tuple[str, Answered | None]] = {}
        self._answers: dict[int, CommandSettled] = {}
        self._starting: set[str] = set()
        for fields in themes.load():
            self.register_theme(Theme(**fields))
        self.theme = themes.DARK

    # Beginning and end.

    def on_mount(self) -> None:
        self.world.watch(self.run_name)
        self.feed.watch(self.run_name)
        self.push_screen(self._first)
        self.set_interval(TICK, self._tick)

    async def on_unmount(self) -> None:
        await asyncio.to_thread(self.feed.close)

    def _fatal_error(self) -> None:
        """A fault of our own ends the screen with a sentence, not with a traceback and the values of its variables."""
        self._exit_renderables.append(Text(terminal.last_words(self.home.root / "screen.log")))
        self._close_messages_no_wait()

    def _tick(self) -> None:
        # Behind a question the screen goes on; between two screens there is none.
        if self.place is not None:
            # The record's libraries are imported when the first screen stands.
            self.feed.start()
            self.place.tick()

    # What the feed says.

    @property
    def track(self) -> Track | None:
        """The run that the screens show."""
        return self.world.tracks.get(self.run_name) if self.run_name else None

    @on(feeds.Listed)
    def _listed(self, message: feeds.Listed) -> None:
        for run, title, created in message.runs:
            self.world.know(run, title, created)
        self.world.forget(but=[run for run, _, _ in message.runs])
        self.world.opened = True
        self.world.version += 1
        if self.track is None and message.runs:
            self.show_run(message.runs[0][0])
        elif self.run_name and not self.world.flowed:
            self._read_flows()

    @on(feeds.Read)
    def _read(self, message: feeds.Read) -> None:
        self.world.take(message.board)
        self.world.version += 1

    @on(feeds.Alive)
    def _alive(self, message: feeds.Alive) -> None:
        for track in self.world.tracks.values():
            track.alive = track.id in message.runs
        self.world.version += 1

    @on(feeds.Happened)
    def _happened(self, message: feeds.Happened) -> None:
        gates = self.world.apply(message.events, message.said)
        self.world.version += 1
        for track in gates:
            number = track.latest
            self.bell()
            self.say(f"Run {track.id} waits at the gate after generation {number}. l launches the next one.", "warning")
        for event in message.events:
            if isinstance(event.payload, CommandSettled):
                self._settled(event.payload)

    @on(feeds.Streamed)
    def _streamed(self, message: feeds.Streamed) -> None:
        self.world.stream(message.tails)

    @on(feeds.Flowed)
    def _flowed(self, message: feeds.Flowed) -> None:
        self.world.begin_flows(message.run, message.flows, message.events, message.seq)
        self.world.version += 1

    @on(feeds.Trouble)
    def _trouble(self, message: feeds.Trouble) -> None:
        self.world.problem = message.text
        self.world.version += 1

    def show_run(self, run: str) -> None:
        """Let all screens show another run."""
        self.run_name = run
        if self.world.watch(run):
            self.feed.watch(run)
            self.world.version += 1
            self._read_flows()

    def _read_flows(self) -> None:
        run = self.run_name
        if run is None or run not in self.world.tracks:
            return

        def read() -> None:
            self.post_message(feeds.read_flows(self.feed.store(), run))

        self.in_thread(read, group="flows")

    # Work in threads.

    def in_thread(self, work: Callable[[], None], *, group: str, exclusive: bool = True) -> None:
        """Run something that reads or writes the store; what goes wrong is told, not raised."""

        def guarded() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - shown to the operator; the screen goes on
                self.call_from_thread(self.say, f"{error}" or type(error).__name__, "error")

        self.run_worker(guarded, thread=True, exclusive=exclusive, group=group, exit_on_error=False)

    def say(self, text: str, severity: str = "information") -> None:
        """Tell the operator something, briefly."""
        levels = {"warning": "warning", "error": "error"}
        self.notify(
            safe_line(text, 400),
            severity=levels.get(severity, "information"),  # type: ignore[arg-type]  # a Literal that mypy cannot see
            markup=False,
            timeout=12 if severity == "error" else 6,
        )

    # Orders to the engine.

    def order(self, run: str, command: Command, what: str, done: Answered | None = None) -> None:
        """Issue an order; its outcome is told, and `done` called, when the engine has answered."""

        def issue() -> None:
            from store import commands

            number = commands.issue(self.feed.store(), run, command, at=self.now())
            self.call_from_thread(self._ordered, number, run, what, done)

        self.in_thread(issue, group="orders", exclusive=False)

    def _ordered(self, number: int, run: str, what: str, done: Answered | None) -> None:
        self._orders[number] = what, done
        if number in self._answers:
            self._settled(self._answers[number])
            return
        track = self.world.tracks.get(run)
        if track is None or not track.alive:
            self.say(
                f"{what}: no engine works on run {run}. The order waits until one does; r resumes the run.", "warning"
            )

    def _settled(self, payload: CommandSettled) -> None:
        if payload.command not in self._orders:
            # Another screen's order, or one whose number we are yet to hear of.
            self._answers[payload.command] = payload
            return
        what, done = self._orders.pop(payload.command)
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
        track = self.track
        board = track.board if track else None
        match action:
            case "launch" | "launch-rest":
                if track is None or board is None:
                    return "there is no run yet"
                if board.state is not RunState.GATE:
                    return f"run {track.id} waits at no gate"
            case "stop":
                if track is None or board is None or board.state.final or track.recording:
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
            self.switch_screen(screen)

    def open_tape(self, subagent: SubagentId) -> None:
        """Show a subagent's trace."""
        self.show_run(subagent.run)
        self.world.pointed = subagent
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
        self.theme = themes.LIGHT if self.theme == themes.DARK else themes.DARK

    def do_palette(self) -> None:
        self.action_command_palette()

    def do_help(self) -> None:
        from app.screens.help import Help

        self.push_screen(Help(self.place.NAME if self.place else "", self.size.width))

    async def action_quit(self) -> None:
        """Textual's own key for it leaves as ours does."""
        self.do_quit()

    def action_help_quit(self) -> None:
        """Who presses ctrl+c wants to leave."""
        self.say(f"{actions.key_name(actions.find('quit').keys[0])} leaves the screen; engines go on.")

    def do_quit(self) -> None:
        alive = [track.id for track in self.world.newest() if track.alive]
        if alive:
            names = ", ".join(alive[:5])
            works, them = (
                ("An engine goes on with run", "it") if len(alive) == 1 else ("Engines go on with runs", "them")
            )
            again = f"`multitrack` shows {them} again, `multitrack watch` follows here."
            self.exit(message=Text(f"{works} {names}. {again}"))
        else:
            self.exit()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The registry has them all."""
        return ()
