import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text as sql

from store import search, tapes
from store.database import Store, open_store
from store.domain.blocks import BlockKind, blocks
from store.domain.ids import SubagentId
from store.search import SNIPPET, WINDOW, Hit
from store.tapes import CallEnd, CallStart, new_call_id

ONE, TWO, LATER = SubagentId("abcde", 1, 1), SubagentId("abcde", 1, 2), SubagentId("abcde", 2, 1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.sqlite3") as store:
        yield store


noise = random.Random(3)
at = iter(range(1000, 1_000_000))


def record(store: Store, who: SubagentId | None, messages: list[Any], answer: Any = None, *, run: str = "abcde") -> str:
    now = float(next(at))
    body = json.dumps({"messages": messages}).encode()
    start = CallStart(
        new_call_id(now, noise.randbytes(5)), now, who.run if who else run, who, "anthropic", "POST", "/", body
    )
    end = CallEnd(start.id, now + 0.5, 200, complete=True, messages=[answer] if answer else [])
    store.write(lambda connection: tapes.open_call(connection, start))
    store.write(lambda connection: tapes.close_call(connection, end))
    return start.id


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def said(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def used(number: int, **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"t{number}", "name": "bash", "input": given}


def result(number: int, words: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"t{number}", "content": words}]}


def block_text(store: Store, hit: Hit) -> str:
    """The text of the block that evidence from this hit would point into."""
    return blocks(tapes.node(store, hit.node).message)[hit.block].text


def test_a_hit_says_whose_it_is_where_it_is_and_what_stands_around_it(store: Store) -> None:
    call = record(store, ONE, [user("fix it")], said(text("Hm."), text("The retry is not idempotent.")))
    (hit,) = search.search(store, "idempotent", run="abcde")
    assert (hit.call, hit.subagent, hit.role, hit.kind, hit.block) == (call, ONE, "assistant", BlockKind.TEXT, 1)
    assert hit.node == tapes.call(store, call).answer
    assert hit.text == hit.snippet == block_text(store, hit) == "The retry is not idempotent."
    assert hit.text[hit.start : hit.end] == "idempotent"


def test_every_kind_of_words_is_found(store: Store) -> None:
    thought = {"type": "thinking", "thinking": "maybe a zebra", "signature": "x"}
    talk = [user("a zebra?"), said(thought, text("zebra!"), used(1, command="grep zebra")), result(1, "17: zebra")]
    record(store, ONE, talk)
    found = {hit.kind for hit in search.search(store, "zebra")}
    assert found == {BlockKind.TEXT, BlockKind.REASONING, BlockKind.TOOL_CALL, BlockKind.TOOL_RESULT}
    only = search.search(store, "zebra", kinds=[BlockKind.TOOL_RESULT, BlockKind.REASONING])
    assert {hit.kind for hit in only} == {BlockKind.TOOL_RESULT, BlockKind.REASONING}
    assert search.search(store, "zebra", kinds=[]) == []
    unprompted = search.search(store, "zebra", prompts=False)
    assert {(hit.role, hit.kind) for hit in unprompted} == {
        ("assistant", BlockKind.TEXT),
        ("assistant", BlockKind.REASONING),
        ("assistant", BlockKind.TOOL_CALL),
        ("user", BlockKind.TOOL_RESULT),
    }


def test_a_shared_node_is_found_on_each_tape_and_once_on_each(store: Store) -> None:
    talk = [user("the zebra bug"), said(text("ok")), user("go on")]
    for who in (ONE, TWO):
        record(store, who, talk[:1], talk[1])
        record(store, who, talk)
        record(store, who, talk)
    hits = search.search(store, "zebra")
    assert sorted(str(hit.subagent) for hit in hits) == [str(ONE), str(TWO)]
    assert hits[0].node == hits[1].node and hits[0].call != hits[1].call
    assert len(search.search(store, "zebra", subagent=TWO)) == 1


def test_recall_sees_earlier_generations_of_its_run_alone(store: Store) -> None:
    other = SubagentId("other", 1, 1)
    for who in (ONE, LATER, other, None):
        record(store, who, [user(f"zebra of {who}")])
    assert [hit.subagent for hit in search.search(store, "zebra", run="abcde", before_generation=2)] == [ONE]
    assert search.search(store, "zebra", run="abcde", before_generation=1) == []
    assert {hit.subagent for hit in search.search(store, "zebra", run="abcde")} == {ONE, LATER, None}
    assert len(search.search(store, "zebra")) == 4


def test_recall_sees_all_of_the_runs_that_are_remembered(store: Store) -> None:
    old, older, gone = SubagentId("zzzzz", 3, 1), SubagentId("aaaaa", 1, 1), SubagentId("ddddd", 1, 1)
    for who in (ONE, LATER, old, older, gone, SubagentId("other", 1, 1), SubagentId("zzzzz", 1, 0), None):
        record(store, who, [user(f"zebra of {who}")])
    store.write(lambda connection: connection.execute(sql("INSERT INTO deletions (run, at) VALUES ('ddddd', 1.0)")))

    def found(generation: int) -> list[SubagentId | None]:
        names = ["zzzzz", "aaaaa", "ddddd"]
        hits = search.search(store, "zebra", run="abcde", before_generation=generation, besides=names)
        return [hit.subagent for hit in hits]

    # What is alike comes in the order in which they are named, whatever their names.
    assert found(1) == [old, older]
    assert found(2) == [old, older, ONE]


def test_turns_count_a_subagents_answers(store: Store) -> None:
    talk = [user("zebra one"), said(used(1, command="zebra two")), result(1, "zebra three"), said(text("zebra four"))]
    record(store, ONE, talk[:1], talk[1])
    record(store, TWO, [user("zebra elsewhere")], said(text("ok")))
    record(store, ONE, talk[:3], talk[3])
    turns = {hit.text.split("zebra ")[1].split('"')[0]: hit.turn for hit in search.search(store, "zebra", subagent=ONE)}
    # The prompt and the first answer, then the result that belongs to that answer's tool call, then the second answer.
    assert turns == {"one": 1, "two": 1, "three": 1, "four": 2}


def test_better_matches_come_first_and_the_limit_holds(store: Store) -> None:
    filler = " ".join(f"word{number}" for number in range(300))
    record(store, ONE, [user(f"zebra {filler}"), user("zebra zebra"), *(user(f"nothing {n}") for n in range(20))])
    hits = search.search(store, "zebra")
    assert [hit.text[:11] for hit in hits] == ["zebra zebra", "zebra word0"]
    assert len(search.search(store, "zebra", limit=1)) == 1


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("timeout retry", {"both"}),
        ("timeout", {"both", "timeout"}),
        # No block has all three words: then those that have any.
        ("timeout retry zebra", {"both", "timeout", "retry"}),
        ('"retry after timeout"', {"both"}),
        ('"timeout after retry"', set()),
        ("flush_queue", {"code"}),
        ("queue", {"code"}),
        ("Queue.flush", set()),
        ("fl*", {"code"}),
        ('"flush que"*', {"code"}),
        ("café", {"accent"}),
        ("CAFE", {"accent"}),
        ("东京", {"tokyo"}),
        # Words of the query language are words: no block has both, so either counts.
        ("NOT timeout", {"both", "timeout", "not"}),
        ("text:timeout", set()),
        ("", set()),
        ("()", set()),
    ],
)
def test_queries(store: Store, query: str, found: set[str]) -> None:
    texts = {
        "both": "a retry after timeout",
        "timeout": "timeout alone",
        "retry": "retry alone",
        "code": "flush_queue(self)",
        "accent": "au Café",
        "tokyo": "东京 is far",
        "not": "not this",
    }
    record(store, ONE, [user(words) for words in texts.values()])
    names = {words: name for name, words in texts.items()}
    assert {names[hit.text] for hit in search.search(store, query)} == found


any_text = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
syntax = st.lists(
    st.sampled_from(['"', "*", "AND", "OR", "NOT", "NEAR(", ")", "^", ":", "-", "+", "{", "}", "text", "a", " ", "'"]),
    max_size=12,
).map("".join)
FAST = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(any_text | syntax)
@example('"')
@example('""*')
@example("\x00")
@example("\ud800")
@example("\U0001f600")
@example("\U00010d00 a")  # a letter that the index's older tables don't know
@example("NEAR(a b, 2)")
@FAST
def test_any_text_is_a_query(store: Store, query: str) -> None:
    search.search(store, query)


@given(any_text)
@settings(parent=FAST, max_examples=50)
def test_any_text_can_be_indexed_and_found(store: Store, words: str) -> None:
    words = json.loads(json.dumps(words))
    run = f"r{noise.getrandbits(60)}"
    record(store, SubagentId(run, 1, 1), [user(f"{words} zebra {words}")])
    (hit,) = search.search(store, "zebra", run=run)
    assert block_text(store, hit)[hit.start : hit.end] == "zebra"


def test_a_long_block_is_cut_to_what_stands_around_the_hit(store: Store) -> None:
    lines = [f"line {number} of a long output" for number in range(500)]
    lines[250] = "here comes the zebra, at last"
    record(store, ONE, [result(1, "\n".join(lines))])
    (hit,) = search.search(store, "zebra")
    assert "here comes the zebra, at last" in hit.text and len(hit.text) <= WINDOW + 2
    assert hit.text.startswith("…line ") and hit.text.endswith("output…")
    assert "zebra" in hit.snippet and len(hit.snippet) <= SNIPPET + 2 and "\n" not in hit.snippet
    assert block_text(store, hit)[hit.start : hit.end] == "zebra"


def test_the_place_with_most_matches_is_shown(store: Store) -> None:
    far = "x " * WINDOW
    record(store, ONE, [user(f"zebra {far} zebra and zebra and zebra {far} zebra")])
    (hit,) = search.search(store, "zebra")
    assert "zebra and zebra and zebra" in hit.text
    assert block_text(store, hit)[hit.start : hit.start + 15] == "zebra and zebra"


def test_one_endless_word_is_cut_too(store: Store) -> None:
    record(store, ONE, [user("x" * 5000 + " zebra " + "y" * 5000)])
    (hit,) = search.search(store, "zebra")
    assert "zebra" in hit.text and "zebra" in hit.snippet and len(hit.text) <= WINDOW + 2


def test_lines_of_a_tool_calls_input_are_words_and_places_stay_right(store: Store) -> None:
    code = 'def pay():\n\treturn "café"\nnext_line = r"\\d" # \u0001 zebra'
    record(store, ONE, [user("go")], said(used(1, new=code)))
    for word in ("return", "next_line", "zebra", "def", "d"):
        (hit,) = search.search(store, word)
        found = block_text(store, hit)[hit.start : hit.end]
        assert found == word
    assert "\n\treturn" not in search.search(store, "return")[0].text
    assert " \nnext_line" in search.search(store, "return")[0].text


def test_a_body_kept_whole_is_searched_all_the_same(store: Store) -> None:
    now = float(next(at))
    body = b'{"n": 1, "n": 2, "messages": [{"role": "user", "content": "a zebra"}]}'
    start = CallStart(new_call_id(now, noise.randbytes(5)), now, "abcde", ONE, "anthropic", "POST", "/", body)
    store.write(lambda connection: tapes.open_call(connection, start))
    assert [hit.text for hit in search.search(store, "zebra")] == ["a zebra"]


def test_other_text_of_the_marks_themselves_moves_nothing(store: Store) -> None:
    record(store, ONE, [user("\ue000a\ue001 zebra \ue001")])
    (hit,) = search.search(store, "zebra")
    assert block_text(store, hit)[hit.start : hit.end] == "zebra"
