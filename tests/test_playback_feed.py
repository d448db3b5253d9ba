"""The feed of a playback: after whatever the operator does, the screens' world is what it was at that event."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from textual.message import Message

from app import feeds
from app.playback.deck import Deck
from app.playback.feed import LEAP, PlaybackFeed, Start
from app.playback.tape import NothingToPlayError, read_tape, stream_of
from app.playback.times import Kind
from app.playback.where import where
from app.world import World
from backends.proxy import spoken
from store import events, runs, tapes
from store.database import Store, open_store
from store.domain.board import Board
from store.domain.events import Event, RunCreated, TurnStarted
from store.domain.ids import SubagentId
from store.domain.timing import encode
from store.recording import CallEnd, CallStart
from tests import record
from tests.conformance import RECORDINGS, STREAMS
from tests.driving import wait
from widgets.flow import Flow, Parts


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with record.recorded(tmp_path_factory.mktemp("home")) as home, open_store(home.store) as opened:
        yield opened


@dataclass
class Screen:
    """Folds what is posted as the app does, and a clock that is set by hand."""

    store: Store
    start: Start
    now: float = 100.0
    world: World = field(default_factory=World)
    posted: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world.watch(self.start.run)
        self.feed = PlaybackFeed(lambda: self.store, self.start, self.post, clock=lambda: self.now)

    def post(self, message: Message) -> None:
        self.posted.append(message)
        match message:
            case feeds.Listed():
                for run, title, created in message.runs:
                    self.world.know(run, title, created)
            case feeds.Rewound():
                self.world.rewind(message.board, message.title, message.created, message.flows, message.events)
                message.taken.set()
            case feeds.Happened():
                self.world.apply(message.events, message.said)
            case feeds.Streamed():
                self.world.stream(message.tails)

    @property
    def board(self) -> Board:
        return self.world.tracks[self.start.run].board

    def rows(self, who: SubagentId) -> list[str]:
        return ["".join(text for text, _ in row) for row in self.world.flow(who).lines(60, 12)]


@cache
def log(store: Store, run: str) -> list[Event]:
    return events.read(store, run=run)


def board(store: Store, run: str, count: int) -> Board:
    folded = Board(run)
    for event in log(store, run)[:count]:
        folded.apply(event)
    return folded


def rows(store: Store, run: str, who: SubagentId, count: int) -> list[str]:
    """What a flow shows that has seen everything live."""
    happened = log(store, run)[:count]
    words: dict[str, Parts] = feeds.words_of(store, feeds.ended(happened))
    flow = Flow()
    for event in happened:
        if event.subagent == who:
            flow.apply(event, words)
    return ["".join(text for text, _ in row) for row in flow.lines(60, 12)]


ORDERS = st.lists(
    st.tuples(
        st.sampled_from(["wait", "toggle", "seek", "step", "turn", "jump", "faster", "go", "squeeze"]), st.floats(-1, 1)
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ORDERS)
def test_after_any_orders_the_world_is_what_it_was(store: Store, orders: list[tuple[str, float]]) -> None:
    run = record.LIVE
    screen = Screen(store, Start(run, playing=False))
    screen.feed.load()
    total = len(log(store, run))
    for kind, amount in orders:
        by = 1 if amount >= 0 else -1
        match kind:
            case "wait":
                screen.now += abs(amount) * 40
            case "toggle":
                screen.feed.order(Deck.toggle)
            case "seek":
                screen.feed.order(lambda deck, now, to=amount: deck.seek(abs(to) * deck.times.duration, now))  # type: ignore[misc]
            case "step":
                screen.feed.order(lambda deck, now, by=by: deck.step(by, now))  # type: ignore[misc]
            case "turn":
                screen.feed.order(lambda deck, now, by=by: deck.turn(by, now))  # type: ignore[misc]
            case "jump":
                screen.feed.order(lambda deck, now, by=by: deck.jump(by, now))  # type: ignore[misc]
            case "faster":
                screen.feed.order(lambda deck, now, by=by: deck.shift(by, now))  # type: ignore[misc]
            case "go":
                screen.feed.order(lambda deck, now, to=amount: deck.go(round(abs(to) * total), now))  # type: ignore[misc]
            case _:
                screen.feed.squeeze(amount > 0)
        screen.feed.tell()
        assert screen.feed.place is not None
        count = screen.feed.place.count
        assert screen.board == board(store, run, count)
        assert screen.world.past == log(store, run)[:count]
        assert screen.feed.at <= log(store, run)[-1].at
    place = screen.feed.place
    assert place is not None
    for lane in range(1, 6):
        who = SubagentId(run, 2, lane)
        shown = screen.world.flow(who)
        shown.streaming = None
        assert screen.rows(who) == rows(store, run, who, place.count)


def test_going_forth_posts_what_a_live_feed_does(store: Store) -> None:
    screen = Screen(store, Start(record.LIVE, speed=8.0))
    screen.feed.load()
    for _ in range(40):
        screen.now += 1.0
        screen.feed.tell()
    kinds = [type(message) for message in screen.posted]
    assert kinds.count(feeds.Rewound) == 1
    assert {feeds.Happened, feeds.Streamed, feeds.Listed} <= set(kinds)
    told: list[Event] = []
    for message in screen.posted:
        if isinstance(message, feeds.Rewound | feeds.Happened):
            told += message.events
    assert told == log(store, record.LIVE)
    assert screen.feed.place is not None
    assert not screen.feed.place.playing
    track = screen.world.tracks[record.LIVE]
    assert (track.played, track.waiting, track.interrupted) == (True, False, False)


def test_nothing_new_is_not_told(store: Store) -> None:
    screen = Screen(store, Start(record.LIVE, playing=False, where=where("50%")))
    screen.feed.load()
    told = len(screen.posted)
    screen.now += 60
    screen.feed.tell()
    assert len(screen.posted) == told


def test_a_leap_is_told_at_once(store: Store) -> None:
    run = "jumpy"

    def write(connection: object) -> None:
        runs.create(connection, run, "many events", at=record.NOW)  # type: ignore[arg-type]
        events.append(connection, run, [RunCreated(record.TASK, "many", "r", 1)], at=record.NOW)  # type: ignore[arg-type]
        for at in range(2 * LEAP):
            events.append(connection, run, [TurnStarted(1)], at=record.NOW + at / 100, generation=1, lane=1)  # type: ignore[arg-type]

    store.write(write)
    screen = Screen(store, Start(run, playing=False))
    screen.feed.load()
    screen.feed.order(lambda deck, now: deck.go(2 * LEAP, now))
    screen.feed.tell()
    assert isinstance(screen.posted[-1], feeds.Rewound)
    assert len(screen.world.past) == 2 * LEAP
    # What went back and forth between two looks is no more than what it came to.
    screen.feed.order(lambda deck, now: deck.go(5, now))
    screen.feed.order(lambda deck, now: deck.go(2 * LEAP + 1, now))
    screen.feed.tell()
    assert isinstance(screen.posted[-1], feeds.Happened)
    assert screen.board == board(store, run, 2 * LEAP + 1)


def test_the_thread_reads_tells_and_ends(store: Store) -> None:
    screen = Screen(store, Start(record.SOLVED, playing=False, where=where("end")))
    screen.feed.start()
    wait(lambda: screen.feed.place is not None and screen.feed.place.count, "the tape")
    assert screen.board.finished is not None
    assert screen.feed.order(lambda deck, now: deck.jump(-1, now, [Kind.SOLVED])) is not None
    wait(lambda: screen.board.finished is None, "the place before")
    screen.feed.close()
    assert [type(message) for message in screen.posted].count(feeds.Trouble) == 0


def test_what_can_not_be_played_is_said(store: Store) -> None:
    store.write(lambda connection: runs.create(connection, "barer", "a recording", at=record.NOW))
    with pytest.raises(NothingToPlayError, match="multitrack calls barer"):
        read_tape(store, "barer")
    screen = Screen(store, Start("barer"))
    screen.feed.follow()
    trouble = screen.posted[-1]
    assert isinstance(trouble, feeds.Trouble)
    assert "without events to play" in trouble.text
    assert screen.feed.order(lambda deck, now: deck.place(now)) is None


# Text in progress.


@pytest.mark.parametrize("name", STREAMS)
def test_what_streamed_is_heard_again_at_its_time(store: Store, name: str) -> None:
    recording = RECORDINGS[name]
    body, run = recording.body, "heard"
    if not any(row.id == run for row in runs.runs(store)):
        store.write(lambda connection: runs.create(connection, run, "heard", at=1.0))
    timing = [(min(size + 40, len(body)), 0.5 + size / 1000) for size in range(0, len(body), 40)]
    live: list[tuple[str, str]] = []
    from backends.proxy.listening import Listener
    from backends.proxy.routes import PROTOCOLS

    protocol = PROTOCOLS[recording.protocol]
    listener = Listener(recording.headers, protocol.reader("POST", recording.path, lambda *said: live.append(said)))
    for size, _ in timing:
        listener.take(body[size - 40 if size % 40 == 0 else size - size % 40 : size])
    start = CallStart(
        tapes.new_call_id(1000.0, hashlib.sha256(name.encode()).digest()[:5]), 1000.0, run, SubagentId(run, 1, 1),
        recording.protocol, "POST", recording.path, b"{}", protocol=protocol.endpoint("POST", recording.path),
    )  # fmt: skip
    headers = tuple((key.decode(), value.decode()) for key, value in recording.headers)
    end = CallEnd(
        start.id, 1020.0, 200, complete=True, first_byte=1000.5, response=body, timing=encode(timing), headers=headers
    )
    store.write(lambda connection: tapes.record_call(connection, start, end))
    call = tapes.call(store, start.id)
    heard = spoken(call, body, timing)
    assert [(piece.kind, piece.text) for piece in heard] == [said for said in live if said[1]]
    assert all(0.5 <= piece.seconds <= timing[-1][1] for piece in heard)
    whole = stream_of(store, start.id).parts(2000.0)
    assert "".join(text for _, text in whole) == "".join(text for _, text in live)[-4096:]
    assert stream_of(store, start.id).parts(1000.4) == ()


def test_a_call_of_which_no_times_are_kept_says_its_words_evenly(store: Store) -> None:
    call = tapes.calls(store, run=record.LIVE)[0]
    assert call.timing is None
    assert call.ended is not None
    stream = stream_of(store, call.id)
    words = "".join(text for _, text in feeds.words_of(store, [call.id])[call.id])
    half = "".join(text for _, text in stream.parts((call.ended + (call.first_byte or 0.0)) / 2))
    assert 0 < len(half) < len(words)
    assert words.startswith(half)
    assert "".join(text for _, text in stream.parts(call.ended)) == words
    assert stream_of(store, "no-such-call").parts(9e9) == ()


# Where it begins.


@pytest.mark.parametrize(
    ("said", "count"),
    [("0", 3), ("0s", 3), ("event:12", 12), ("event:999999", 318), ("end", 318), ("100%", 318), ("1h", 318)],
)
def test_where_it_begins(store: Store, said: str, count: int) -> None:
    screen = Screen(store, Start(record.LIVE, playing=False, where=where(said)))
    screen.feed.load()
    assert screen.feed.place is not None
    assert screen.feed.place.count == count
    assert screen.board == board(store, record.LIVE, count)


@pytest.mark.parametrize("said", ["gen:2", "turn:3", "solved", "alert", "error", "40%", "1m10s", "75.5"])
def test_it_begins_at_what_is_named(store: Store, said: str) -> None:
    screen = Screen(store, Start(record.LIVE, playing=False, where=where(said)))
    screen.feed.load()
    assert screen.feed.place is not None
    happened = log(store, record.LIVE)
    last = happened[screen.feed.place.count - 1]
    match said:
        case "gen:2":
            assert (last.payload.kind, last.generation) == ("generation.designed", 2)
        case "turn:3":
            assert last.payload.kind == "turn.started"
        case "solved":
            assert getattr(last.payload, "solved", False)
        case "alert":
            assert last.payload.kind == "alert"
        case "error":
            assert last.payload.kind == "tool.finished"
        case "1m10s":
            assert 0 <= happened[0].at + 70 - last.at < 5


@pytest.mark.parametrize("said", ["", "somewhere", "101%", "event:", "-4", "gen:x", "1x"])
def test_what_is_no_place_is_said(said: str) -> None:
    with pytest.raises(ValueError, match="there are"):
        where(said)
