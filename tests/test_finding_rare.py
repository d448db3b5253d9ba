"""What a search finds by its indexes is what a look at everything finds, by the plain definition."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.turning import is_wrong
from store import blobs, error_words, events, runs, tapes, zones
from store.database import Store, open_store
from store.domain.events import (
    Alert,
    CallFinished,
    Event,
    GenerationDesigned,
    Payload,
    SubagentEnded,
    ToolFinished,
    ToolStarted,
)
from store.domain.ids import SubagentId
from store.domain.limits import Spend, Usage
from store.domain.marking import has_all
from store.domain.query import parse
from store.domain.states import AlertLevel, Ending
from store.domain.strategy import LanePlan, Strategy
from store.domain.subagent_events import TurnStarted
from store.finding import Finder, Hit, calls
from store.finding.keeping import keep_up
from store.finding.looking import Look
from store.finding.scope import Scope
from tests import record

RUNS = ("run01", "run02")
WORDS = ("lock", "Locked", "timeout", "naïve", "İstanbul", "a_b", "ﬁx", "x²", "e\u0301t", "東京", "lock\u0301x", "42")
TOOLS = ("run", "Edit", "mcp__a__b", "run_tests")
MODELS = ("claude-sonnet", "Claude-Haiku", "gpt")
COSTS = (None, 0.0, 0.01, 0.02, 0.5)

whos = [SubagentId(run, generation, lane) for run in RUNS for generation in (1, 2) for lane in (1, 2)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(tmp_path_factory.mktemp("rare") / "store") as opened:
        _fill(opened, random.Random(5))
        yield opened


def _fill(store: Store, chance: random.Random) -> None:
    def text() -> str:
        return " ".join(chance.choices(WORDS, k=chance.randrange(4)))

    plans = tuple(LanePlan(lane, Strategy(f"plan-{lane}", "Look."), clean=False) for lane in (1, 2))
    for run in RUNS:
        store.write(lambda c, run=run: runs.create(c, run, "", at=0.0))  # type: ignore[misc] # binds the loop's value
        for generation in (1, 2):
            _tell(store, SubagentId(run, generation, 0), 0.0, GenerationDesigned(plans))
    for at in range(1, 300):
        who, name, key = chance.choice(whos), chance.choice(TOOLS[:3] if at < 200 else TOOLS), f"t{at}"
        digest = store.write(lambda c: blobs.put(c, text().encode()))
        payload: Payload = chance.choice(
            [
                ToolStarted(1, key, name, text()),
                ToolFinished(1, key, name, chance.random() < 0.5, 0.1, digest, chance.choice(["fine", text()])),
                ToolFinished(1, key, name, True, 0.1, digest, f"exit code {chance.randrange(2)}"),
                SubagentEnded(chance.choice([*Ending]), text(), Spend()),
                Alert("stuck", text(), level=chance.choice([*AlertLevel])),
            ]
        )
        _tell(store, who, float(at), payload)
        if at % 3:
            continue
        owner = chance.choice([*whos, None])
        routed = chance.random() < 0.3
        _call(store, f"c{at}", owner, at, chance, source="route" if routed else "", parent=None)
        for number in range(chance.randrange(3) if routed else 0):
            _call(store, f"c{at}-{number}", owner, at, chance, source="", parent=f"c{at}")


def _tell(store: Store, who: SubagentId, at: float, payload: Payload) -> None:
    lane = who.lane or None
    store.write(lambda c: events.append(c, who.run, [payload], at=at, generation=who.generation, lane=lane))


def _call(
    store: Store, name: str, who: SubagentId | None, at: int, chance: random.Random, *, source: str, parent: str | None
) -> None:
    run = who.run if who is not None else RUNS[0]
    body = f'{{"model": "{chance.choice(MODELS)}", "messages": [{{"role": "user", "content": "lock {at % 7}"}}]}}'
    start = tapes.CallStart(
        name, float(at), run, who, "anthropic", "POST", "/v1/messages", body.encode(), parent=parent, source=source
    )
    error = chance.choice(["", "", "timeout lock", "lock 42"])
    usd = None if source else chance.choice(COSTS)
    end = tapes.CallEnd(name, at + 0.5, 200, complete=not error, error=error, usage=Usage(input=1), usd=usd)
    store.write(lambda c: tapes.open_call(c, start))
    store.write(lambda c: tapes.close_call(c, end))


def find(store: Store, text: str) -> list[Hit]:
    finder = Finder(store, parse(text), is_wrong)
    found: list[Hit] = []
    while not finder.done:
        found += finder.more(7)
    return found


names = st.sampled_from(["", *(f"tool:{name}" for name in ("run", "run*", "edit", "mcp*", "nowhere", "no*"))])
whose = st.sampled_from(["", "agent:1.2", "agent:plan-1", "gen:2", "gen:9", "run:run01", "run:nowhere", "agent:a7"])
terms = st.lists(
    st.sampled_from([*WORDS, "lock*", "time*", "nowhere", "é", '"lock timeout"', "LOCK", "ist*", "1"]), max_size=2
)


@settings(max_examples=100, deadline=None)
@given(names, whose, terms, st.integers(0, 200))
def test_errors_are_those_of_all_events(store: Store, tool: str, who: str, words: list[str], indexed: int) -> None:
    store.write(error_words.forget)
    if indexed:
        store.write(lambda c: error_words.catch_up(c, indexed))
    text = " ".join(["error:", tool, who, *words])
    hits = [hit.seq for hit in find(store, text) if hit.seq]
    assert hits == [event.seq for event in _plain(store, text) if _failed(store, event, text)]


@settings(max_examples=100, deadline=None)
@given(names.filter(bool), whose)
def test_uses_of_a_tool_are_those_of_all_events(store: Store, tool: str, who: str) -> None:
    text = f"{tool} {who}"
    started = [event for event in _plain(store, text) if isinstance(event.payload, ToolStarted)]
    assert [hit.seq for hit in find(store, text)] == [
        event.seq for event in started if _is_tool(text, getattr(event.payload, "name", ""))
    ]


def _plain(store: Store, text: str) -> list[Event]:
    """All events of those that the query is about, newest first."""
    query = parse(text)
    there = []
    for event in events.read(store):
        if any(not event.run.startswith(name) for name in query.runs):
            continue
        if query.agents or query.generations:
            who = event.subagent
            names = {who.label, f"plan-{who.lane}"} if who is not None else set()
            if not names or (query.agents and not names & {*query.agents}):
                continue
            if who is not None and not all(bounds.have(who.generation) for bounds in query.generations):
                continue
        there.append(event)
    return there[::-1]


def _is_tool(text: str, name: str) -> bool:
    asked = parse(text).tools
    return not asked or any(
        name.lower().startswith(one[:-1]) if one.endswith("*") else name.lower() == one for one in asked
    )


def _failed(store: Store, event: Event, text: str) -> bool:
    payload = event.payload
    if not is_wrong(payload) or not _is_tool(text, payload.name if isinstance(payload, ToolFinished) else "\0"):
        return False
    said = error_words.said(payload)
    gave = blobs.get(store, payload.result).decode() if isinstance(payload, ToolFinished) else ""
    return has_all((said, gave), parse(text).terms)


costs = st.sampled_from(
    ["", "cost:>0.01", "cost:0.02", "cost:<0.005", "cost:>9", "cost:0.03-0.04", "cost:>0.1 cost:<3"]
)
models = st.sampled_from(["", "model:haiku", "model:nowhere", "model:g", "model:claude"])


few = st.sampled_from([0, 3, 20, calls.FEW])


@settings(max_examples=200, deadline=None)
@given(costs, models, st.sampled_from(["", "lock", "lock 3", "loc*"]), whose, st.integers(0, 40), few)
def test_calls_are_found_by_cost_and_model_or_there_is_none(
    store: Store, cost: str, model: str, words: str, who: str, zoned: int, most: int
) -> None:
    text = f"{cost} {model} {words} {who}"
    store.write(zones.forget)
    plain = find(store, f"{words} {who}")
    right = _calls(store, text)
    for _ in range(3 if zoned else 0):
        store.write(lambda c: zones.catch_up(c, zoned))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "FEW", most)
        found = find(store, text)
    if words or who:
        assert found == [hit for hit in plain if hit.call in right]
    elif cost or model:
        assert [hit.call for hit in found] == right
    else:
        assert found == []


@settings(max_examples=300, deadline=None)
@given(names, whose, costs, models, st.one_of(st.none(), terms), few, st.booleans())
def test_what_came_of_calls_is_that_of_all_events(
    store: Store, tool: str, who: str, cost: str, model: str, words: list[str] | None, most: int, indexed: bool
) -> None:
    if words is None and not tool:
        return
    text = " ".join([*([] if words is None else ["error:", *words]), tool, who, cost, model])
    store.write(error_words.forget)
    if indexed:
        keep_up(store, lambda: True)
    right, asked = _calls(store, text), _asked(store)
    if not cost and not model:
        right.append("")
    there = [event for event in _plain(store, text) if asked.get(event.seq, "") in right or not (cost or model)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "FEW", most)
        seqs = [hit.seq for hit in find(store, text) if hit.seq]
    if words is not None:
        assert seqs == [event.seq for event in there if _failed(store, event, text)]
    else:
        started = [event for event in there if isinstance(event.payload, ToolStarted)]
        assert seqs == [event.seq for event in started if _is_tool(text, getattr(event.payload, "name", ""))]


def _asked(store: Store) -> dict[int, str]:
    """The call that each event is of: the subagent's last before it, or its own."""
    with store.read() as connection:
        parents = dict(tuple(row) for row in connection.exec_driver_sql("SELECT id, coalesce(parent, id) FROM calls"))
    last: dict[SubagentId, str] = {}
    found = {}
    for event in events.read(store):
        if event.subagent is None:
            continue
        if isinstance(event.payload, CallFinished):
            last[event.subagent] = parents[event.payload.call]
        if event.subagent in last:
            found[event.seq] = last[event.subagent]
    return found


def _calls(store: Store, text: str) -> list[str]:
    """The calls that are right for what a query says of calls, newest first."""
    query = parse(text)
    with store.read() as connection:
        every = connection.exec_driver_sql(
            "SELECT id, model, usd, source, (SELECT sum(usd) FROM calls AS tried WHERE tried.parent = calls.id) "
            "FROM calls WHERE parent IS NULL ORDER BY rowid DESC"
        ).all()
    right = []
    for name, by, usd, source, tries in every:
        paid = tries if source == "route" else usd
        if query.costs and (paid is None or not all(bounds.have(paid) for bounds in query.costs)):
            continue
        if not query.models or any(one in by.lower() for one in query.models):
            right.append(name)
    return right


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with record.recorded(tmp_path_factory.mktemp("home")) as home, open_store(home.store) as opened:
        yield opened


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["edit", "run", "nowhere", "ed*", "no*", "recall"]),
    st.sampled_from(["lock", "sched*", "nowhere"]),
    st.integers(0, 400),
)
def test_words_of_a_tool_are_those_of_all_passages(recorded: Store, tool: str, word: str, known: int) -> None:
    recorded.write(zones.forget)
    plain = [hit for hit in find(recorded, word) if hit.kind in ("tool_call", "tool_result")]
    plain = [hit for hit in plain if _is_tool(f"tool:{tool}", hit.name)]
    for _ in range(5 if known else 0):
        recorded.write(lambda c: zones.catch_up(c, known))
    assert find(recorded, f"{word} tool:{tool}") == plain


def test_what_is_of_no_tool_is_not_looked_for(recorded: Store) -> None:
    keep_up(recorded, lambda: True)
    with recorded.read() as connection:
        last = connection.exec_driver_sql("SELECT max(rowid) FROM passages").scalar()
        assert zones.newest(connection) == last
        assert zones.those(connection, lambda zone: "nowhere" in zone.tools) == [(last, 2**62)]
        assert zones.those(connection, lambda zone: "edit" in zone.tools)[-1][0] == 0
    recorded.write(zones.forget)
    with recorded.read() as connection:
        assert zones.those(connection, lambda zone: "nowhere" in zone.tools) == [(0, 2**62)]


def test_who_deletes_runs_empties_the_index_and_who_searches_fills_it(store: Store) -> None:
    store.write(error_words.forget)
    keep_up(store, lambda: False)
    with store.read() as connection:
        assert error_words.newest(connection) == 0
    keep_up(store, lambda: True, parse("lock"))
    with store.read() as connection:
        assert error_words.newest(connection) == 0
        assert zones.newest(connection) > 0
    keep_up(store, lambda: True, parse("error:lock"))
    wrong = [event.seq for event in events.read(store) if isinstance(event.payload, (Alert, SubagentEnded))]
    with store.read() as connection:
        assert error_words.newest(connection) >= wrong[-1]


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(tmp_path_factory.mktemp("long") / "store") as opened:
        opened.write(lambda c: runs.create(c, RUNS[0], "", at=0.0))
        for turn in range(1, 301):
            _tell(opened, SubagentId(RUNS[0], 1, 1 + turn % 2), float(turn), TurnStarted(turn))
        yield opened


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 310), st.booleans()), min_size=1, max_size=30))
def test_a_turn_is_found_however_far_back_and_in_any_order(long: Store, asked: list[tuple[int, bool]]) -> None:
    who = SubagentId(RUNS[0], 1, 2)
    with long.read() as connection:
        first = connection.exec_driver_sql("SELECT min(seq) FROM events").scalar_one()
        look = Look(connection, parse("x"), Scope((RUNS[0],), False), 1e9, calls.Called())
        for at, by_time in asked:
            last = min(at if at % 2 else at - 1, 299)
            found = look.turn_at(who, float(at)) if by_time else look.turn_of(who, first + at - 1)
            assert found == max(last, 0)
