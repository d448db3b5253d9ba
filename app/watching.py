"""What the app hears: feeds' messages folded into the world that the screens show, a live one or a played one."""

import asyncio
import time
from collections.abc import Callable

from textual import on
from textual.message import Message

from app import feeds
from app.playback.feed import PlaybackFeed, Start
from app.typeahead import TypeAhead
from app.world import Track, World
from store.domain.events import CommandSettled
from store.domain.safe_text import safe_line
from store.home import Home


class Watching(TypeAhead):
    """An app on one home. `run_name` is the run that is shown; without one it is the newest. The live world is kept up
    to date also while a run is played."""

    def __init__(self, home: Home, run: str | None, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.home = home
        self.run_name = run
        self.live = self.world = World()
        self.playback: PlaybackFeed | None = None
        """Plays the run that is shown; None while the screens are live."""
        self.feed = feeds.Feed(home, self.hearing(self.live))
        self._clock = clock

    def now(self) -> float:
        """What time it is on the screens, in Unix seconds: in a playback the recorded time."""
        return self.playback.at if self.playback is not None else self._clock()

    @property
    def track(self) -> Track | None:
        """The run that the screens show."""
        return self.world.tracks.get(self.run_name) if self.run_name else None

    def begin_watching(self) -> None:
        """The screens stand: let the feed tell of the run that is shown."""
        self.world.watch(self.run_name)
        self.feed.watch(self.run_name)

    def follow(self) -> None:
        """Let the feed begin that the screens hang on. Called again and again; it begins once."""
        (self.playback or self.feed).start()

    async def end_watching(self) -> None:
        """End the feeds. Takes a tick."""
        if self.playback is not None:
            await asyncio.to_thread(self.playback.close)
        await asyncio.to_thread(self.feed.close)

    def play(self, start: Start) -> None:
        """Play a run, on all screens."""
        self.leave_playback()
        self.world, self.run_name = World(), start.run
        self.world.watch(start.run)
        self.playback = PlaybackFeed(self.feed.store, start, self.hearing(self.world))

    def leave_playback(self) -> None:
        """Show the live world again."""
        playback, self.playback = self.playback, None
        if playback is not None:
            self.in_thread(playback.close, group="playback")
            self.world = self.live
            self.world.version += 1
            if self.run_name is not None:
                self.show_run(self.run_name)

    def show_run(self, run: str) -> None:
        """Let all screens show another run. Another one than is played ends the playback."""
        self.run_name = run
        if self.playback is not None:
            if run == self.playback.start_at.run:
                return
            self.leave_playback()
        if self.world.watch(run):
            self.feed.watch(run)
            self.world.version += 1
            self.read_flows()

    # What the feeds say.

    def hearing(self, world: World) -> Callable[[Message], object]:
        """Where a feed posts what is folded into a world."""

        def post(message: Message) -> None:
            if isinstance(message, feeds.News):
                message.world = world
            self.post_message(message)

        return post

    @on(feeds.Listed)
    def _listed(self, message: feeds.Listed) -> None:
        world = message.world
        for run, title, created in message.runs:
            world.know(run, title, created)
        world.forget(but=[run for run, _, _ in message.runs])
        world.opened = True
        world.version += 1
        if world is not self.live or self.playback is not None:
            return
        if self.track is None and message.runs:
            self.show_run(message.runs[0][0])
        elif self.run_name and not world.flowed:
            self.read_flows()

    @on(feeds.Read)
    def _read(self, message: feeds.Read) -> None:
        message.world.take(message.board)
        message.world.version += 1

    @on(feeds.Alive)
    def _alive(self, message: feeds.Alive) -> None:
        for track in message.world.tracks.values():
            track.alive = track.id in message.runs
            track.lived |= track.alive
        message.world.version += 1

    @on(feeds.Happened)
    def _happened(self, message: feeds.Happened) -> None:
        gates = message.world.apply(message.events, message.said)
        message.world.version += 1
        if message.world is not self.live:
            return
        for track in gates:
            self.gate_opened(track)
        for event in message.events:
            if isinstance(event.payload, CommandSettled):
                self.settled(event.payload)

    @on(feeds.Streamed)
    def _streamed(self, message: feeds.Streamed) -> None:
        message.world.stream(message.tails)

    @on(feeds.Flowed)
    def _flowed(self, message: feeds.Flowed) -> None:
        message.world.begin_flows(message.run, message.flows, message.events, message.seq)
        message.world.version += 1

    @on(feeds.Rewound)
    def _rewound(self, message: feeds.Rewound) -> None:
        message.world.rewind(message.board, message.title, message.created, message.flows, message.events)
        message.taken.set()

    @on(feeds.Trouble)
    def _trouble(self, message: feeds.Trouble) -> None:
        message.world.problem = message.text
        message.world.version += 1

    def read_flows(self) -> None:
        """Read what the lanes of the run that is shown have said so far."""
        run, post = self.run_name, self.hearing(self.world)
        if run is None or run not in self.world.tracks or self.playback is not None:
            return

        def read() -> None:
            post(feeds.read_flows(self.feed.store(), run))

        self.in_thread(read, group="flows")

    def gate_opened(self, track: Track) -> None:
        """A run has begun to wait for the operator."""

    def settled(self, payload: CommandSettled) -> None:
        """An order was answered."""

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
