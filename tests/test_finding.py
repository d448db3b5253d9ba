"""The search over a recorded home: words and filters, portions, and what a playback has yet to come to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.finding import FIRST, Search, goal, marked, result
from app.turning import is_wrong
from bench import bigrun
from bench import search as bench
from store.database import Store, open_store
from store.domain.blocks import BlockKind, blocks
from store.domain.events import CallStarted, TurnStarted
from store.domain.ids import SubagentId
from store.domain.marking import Excerpt
from store.domain.query import parse
from store.events import read
from store.finding import Finder, Hit
from store.tapes import call, node
from tests import record


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with record.recorded(Path(tmp_path_factory.mktemp("home"))) as home, open_store(home.store) as opened:
        yield opened


def find(store: Store, text: str, run: str | None = record.LIVE, until: float = float("inf")) -> list[Hit]:
    query = parse(text)
    assert not query.problems
    finder = Finder(store, query, is_wrong, runs=None if run is None else [run], until=until)
    found: list[Hit] = []
    while not finder.done:
        found += finder.more(7)
    return found


def test_words_are_found_newest_first_where_they_are(store: Store) -> None:
    hits = find(store, "idempotent")
    assert hits and [hit.at for hit in hits] == sorted((hit.at for hit in hits), reverse=True)
    for hit in hits:
        block = blocks(node(store, hit.node).message)[hit.block]
        assert "idempotent" in block.text and hit.excerpt.line[slice(*hit.excerpt.marks[0])] == "idempotent"
        assert hit.run == record.LIVE and call(store, hit.call).subagent == hit.who
    assert find(store, "idempotent nowhere") == []
    assert {hit.run for hit in find(store, "idempotent", None)} > {record.LIVE}


def test_filters_leave_what_is_right_for_all_of_them(store: Store) -> None:
    every = find(store, "lock")
    assert {hit.who for hit in find(store, "lock agent:2.3")} == {SubagentId(record.LIVE, 2, 3)}
    assert find(store, "lock agent:2.3") == [hit for hit in every if hit.who and hit.who.label == "2.3"]
    assert find(store, "lock gen:1") == [hit for hit in every if hit.who and hit.who.generation == 1]
    assert find(store, "lock gen:>1 gen:<2") == []
    history = find(store, "lock agent:histo")
    assert history and len(history) < len(every)
    assert {hit.run for hit in find(store, "lock run:m2", None)} == {record.GATE}
    assert find(store, "lock model:nosuch") == []
    assert find(store, "lock model:sonnet") == every
    dear = find(store, "lock cost:>0.009")
    assert dear == [hit for hit in every if (hit.usd or 0) > 0.009] and len(dear) < len(every)


def test_errors_are_those_of_the_trace(store: Store) -> None:
    wrong = {event.seq for event in read(store, run=record.LIVE) if event.subagent and is_wrong(event.payload)}
    hits = find(store, "error:")
    assert {hit.seq for hit in hits} == wrong
    traceback = find(store, "error:charge")
    assert traceback and {hit.seq for hit in traceback} < wrong
    assert all("charge" in hit.excerpt.line and hit.excerpt.marks for hit in traceback)
    assert {hit.name for hit in find(store, "error: tool:run")} == {"run"}
    assert find(store, "error:nowhere") == []


def test_a_tool_is_found_by_its_name_and_what_it_was_given_or_gave(store: Store) -> None:
    uses = find(store, "tool:edit")
    assert uses and {hit.name for hit in uses} == {"edit"} and all(hit.excerpt.after for hit in uses)
    assert find(store, "tool:ed*") == uses
    assert find(store, "tool:nosuch") == []
    given = find(store, "tool:edit lock")
    assert given and {hit.kind for hit in given} <= {BlockKind.TOOL_CALL, BlockKind.TOOL_RESULT}
    assert {hit.name for hit in given} == {"edit"}
    results = [hit for hit in find(store, "tool:run schedules") if hit.kind == BlockKind.TOOL_RESULT]
    assert results and {hit.name for hit in results} == {"run"}


def test_filters_alone_find_calls(store: Store) -> None:
    hits = find(store, "agent:2.3")
    assert {hit.who for hit in hits} == {SubagentId(record.LIVE, 2, 3)}
    assert len({hit.call for hit in hits}) == len(hits)
    cheap = find(store, "cost:<=0.006")
    assert cheap and all(hit.usd is not None and hit.usd <= 0.006 for hit in cheap)


def test_a_playback_finds_nothing_of_what_is_to_come(store: Store) -> None:
    for text in ("lock", "error:", "tool:edit", "agent:2.3"):
        every = find(store, text)
        now = sorted(hit.at for hit in every)[len(every) // 2]
        then = find(store, text, until=now)
        assert then and all(hit.at <= now for hit in then) and len(then) < len(every)


def test_it_goes_on_where_it_stopped(store: Store) -> None:
    for text in ("lock", "error:", "tool:run", "gen:2"):
        finder = Finder(store, parse(text), is_wrong, runs=[record.LIVE])
        found: list[Hit] = []
        while not finder.done:
            # A look of no time looks at something all the same.
            found += finder.more(3, 0.0)
        assert found == find(store, text)
        assert len({(hit.call, hit.node, hit.block, hit.seq) for hit in found}) == len(found)


def test_nobody_is_looked_for_at_all(store: Store) -> None:
    for text in ("lock gen:9", "lock agent:9.9", "lock run:zzzzz", "", "gen:x"):
        finder = Finder(store, parse(text), is_wrong)
        assert finder.more(9) == [] and finder.done


def test_turns_are_those_of_the_trace(store: Store) -> None:
    turns = dict(_turns_of_calls(store))
    for hit in find(store, "lock"):
        if hit.role == "assistant":
            assert hit.turn == turns[hit.call]


def _turns_of_calls(store: Store) -> Iterator[tuple[str, int]]:
    turn: dict[SubagentId | None, int] = {}
    for event in read(store, run=record.LIVE):
        if isinstance(event.payload, TurnStarted):
            turn[event.subagent] = event.payload.turn
        elif isinstance(event.payload, CallStarted):
            yield event.payload.call, turn[event.subagent]


def test_a_long_run_in_portions(tmp_path: Path) -> None:
    path = tmp_path / "store"
    bigrun.make(path, 24_000, generations=2, lanes=3)
    assert bench.index(path) >= 36_000
    with open_store(path) as store:
        finder = Finder(store, parse("schedules agent:1.2"), is_wrong)
        assert [hit.turn for hit in finder.more(4)] == [2000, 1999, 1999, 1998]
        (needle,) = find(store, "needle", None)
        assert needle.excerpt.before[-1] == "1 broken"
        assert len(find(store, "error:", bigrun.RUN)) == 24_000 // 2 // bigrun.WRONG_EVERY


# As the operator has it.


def hit(number: int, **more: object) -> Hit:
    given = {"kind": "text", "role": "assistant", "call": f"c{number}", "node": "n", "turn": number, **more}
    return Hit(run="r", who=SubagentId("r", 1, 2), at=float(number), excerpt=Excerpt("a lock", ((2, 6),)), **given)  # type: ignore[arg-type]


def test_a_search_takes_what_is_for_what_is_asked_now() -> None:
    search = Search()
    assert search.ask("lock", "r", typing=True, everywhere=False) and not search.done
    first = search.number
    assert not search.ask("lock", "r", typing=True, everywhere=False), "it is asked already"
    assert search.ask("lock t", "r", typing=True, everywhere=False)
    assert not search.took(first, [hit(1)], done=True)
    assert search.took(search.number, [hit(1), hit(2), hit(3)], done=False)
    assert [search.step(1), search.step(1), search.step(-1)] == [hit(1), hit(2), hit(1)]
    assert search.heading() == [("  / lock t: 1 of 3+", "warn")]
    assert search.ask("lock t", "r", typing=True, everywhere=True)
    assert not search.hits and not search.done
    assert not search.ask("gen:x", "r", typing=True, everywhere=True)
    assert search.done and "gen: takes" in search.word()[0][0]
    assert not search.ask("", "r", typing=True, everywhere=True)
    assert search.heading() == [] and search.step(1) is None


def test_from_the_last_place_on_to_the_first() -> None:
    search = Search(hits=[hit(1), hit(2)])
    assert search.step(-1) == hit(2)
    assert search.step(1) == hit(1)


def test_where_a_place_is_in_the_trace() -> None:
    def key(**more: object) -> tuple[str, int | None, int | None] | None:
        there = goal(hit(4, **more))
        return (there.key, there.turn, there.seq) if there else None

    assert key(block=2) == ("c4 b2", 4, None)
    assert key(kind="tool_call", tool_call="t") == ("1.2 t4 t", 4, None)
    assert key(kind="tool_result", role="user", tool_call="t") == ("1.2 t4 t r", 4, None)
    assert key(kind="tool.finished", tool_call="t", seq=9) == ("1.2 t4 t r", 4, 9)
    assert key(kind="alert", seq=9) == ("e9", None, 9)
    assert key(role="user", node="n", block=1) == ("1.2 t4 » n 1", 4, None), "what it was told has an item, too"
    assert goal(Hit("r", None, 0.0, "text", Excerpt("x"))) is None


def test_a_place_as_the_list_shows_it() -> None:
    shown = result(hit(4), run=True)
    assert "".join(text for text, _ in shown.where) == "r 1.2 turn 4 says"
    assert shown.line == [("a ", "text"), ("lock", "match"), ("", "text")]
    far = Excerpt("word " * 30 + "lock", ((150, 154),))
    assert ("lock", "match") in marked(far) and marked(far)[0] == ("…", "faint")
    assert "\x1b" not in "".join(text for text, _ in marked(Excerpt("\x1b[31mred", ((5, 8),))))
    assert FIRST > 14, "more than the list has rows"
