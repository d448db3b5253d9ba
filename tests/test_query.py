"""What the operator types, read; and where that stands in a text."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from store.domain.marking import LINE, excerpt, fold, has_all, spans
from store.domain.query import FILTERS, Bounds, Query, Term, parse

INFINITE = float("inf")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", {}),
        ("lock timeout", {"terms": (Term("lock"), Term("timeout"))}),
        ('"lock timeout"', {"terms": (Term("lock timeout"),)}),
        ('"lock time"* fl*', {"terms": (Term("lock time", True), Term("fl", True))}),
        ('"never closed', {"terms": (Term("never closed"),)}),
        ("error:", {"errors": True}),
        ("error: lock", {"errors": True, "terms": (Term("lock"),)}),
        ('ERROR:"no lock"', {"errors": True, "terms": (Term("no lock"),)}),
        ("tool:Bash tool:edit*", {"tools": ("bash", "edit*")}),
        ('tool:"my tool"', {"tools": ("my tool",)}),
        ("agent:2.3 agent:history", {"agents": ("2.3", "history")}),
        ("gen:2", {"generations": (Bounds(2, 2),)}),
        ("gen:>1 gen:<=4", {"generations": (Bounds(1, INFINITE, open=True), Bounds(0, 4))}),
        ("gen:2-4", {"generations": (Bounds(2, 4),)}),
        ("cost:>0.01", {"costs": (Bounds(0.01, INFINITE, open=True),)}),
        ("cost:$.01-$0.5", {"costs": (Bounds(0.01, 0.5),)}),
        ("model:Haiku run:7K", {"models": ("haiku",), "runs": ("7k",)}),
        # What only looks like a filter is words.
        ("http://x/y std::vector TypeError: 12:30",
         {"terms": (Term("http://x/y"), Term("std::vector"), Term("TypeError:"), Term("12:30"))}),
        ('"tool:bash"', {"terms": (Term("tool:bash"),)}),
    ],
)  # fmt: skip
def test_a_query(text: str, said: dict[str, Any]) -> None:
    assert parse(text) == Query(**said)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tool:", FILTERS["tool"]),
        ("gen:x", "“x” is none"),
        ("gen:1.5", "“1.5” is none"),
        ("gen:4-2", "“4-2” is none"),
        ("cost:>>1", "“>>1” is none"),
        ("cost:", "cost: takes US dollars"),
        ("agent:*", "agent: names a subagent"),
        ("tools:bash", "there is no tools: but tool:"),
        ("-", "“-” has no letter and no digit"),
        ('error:"?"', "“?” has no letter and no digit"),
    ],
)
def test_what_is_wrong_is_a_sentence_and_the_rest_stands(text: str, problem: str) -> None:
    query = parse(f"lock {text} model:opus")
    assert problem in query.problems[0]
    assert not query.problems[0].endswith(".")
    assert (query.terms, query.models) == ((Term("lock"),), ("opus",))


def test_the_last_word_may_go_on_while_it_is_typed() -> None:
    assert parse("lock tim", typing=True).terms == (Term("lock"), Term("tim", True))
    assert parse("lock tim ", typing=True).terms == (Term("lock"), Term("tim"))
    assert parse("lock ti", typing=True).terms[-1] == Term("ti"), "too short: half of all words begin so"
    assert parse('"lock tim', typing=True).terms == (Term("lock tim", True),)
    assert parse('"lock tim"', typing=True).terms == (Term("lock tim"),)
    assert parse("error:tim", typing=True).terms == (Term("tim", True),)


def test_bounds() -> None:
    assert [number for number in (0.5, 1, 1.5) if Bounds(1, open=True).have(number)] == [1.5]
    assert [number for number in (0.5, 1, 2, 2.5) if Bounds(1, 2).have(number)] == [1, 2]


@given(st.text(), st.booleans())
@example('tool:"', True)
@example("gen:٣", False)
@example("cost:²", False)
def test_any_line_is_read(text: str, typing: bool) -> None:
    query = parse(text, typing=typing)
    assert all(query.problems)
    assert query.empty == (query == Query(problems=query.problems))


# Where it stands.


def marked(text: str, *terms: Term) -> list[str]:
    return [text[start:end] for start, end in spans(text, terms)]


def test_words_are_found_as_the_index_finds_them() -> None:
    assert marked("flush_queue(Queue) queued", Term("queue")) == ["queue", "Queue"]
    assert marked("the queues", Term("queue", True)) == ["queues"[:5]]
    assert marked("Zum CAFÉ, café", Term("cafe")) == ["CAFÉ", "café"]
    assert marked("queue . flush, queue flush_it", Term("queue.flush")) == ["queue . flush", "queue flush"]
    assert marked("lock timeout", Term("lock"), Term("lock timeout")) == ["lock timeout"]
    assert has_all(("a lock", "a timeout"), (Term("lock"), Term("timeout")))
    assert not has_all(("a lock",), (Term("lock"), Term("timeout")))
    assert has_all((), ())


@given(st.text())
def test_folding_moves_nothing(text: str) -> None:
    assert len(fold(text)) == len(text)


def test_an_excerpt_has_the_lines_around() -> None:
    text = "one\ntwo\nthree lock\nfour lock lock\nfive\nsix\nseven"
    found = excerpt(text, spans(text, (Term("lock"),)))
    assert (found.before, found.line, found.after) == (("two", "three lock"), "four lock lock", ("five", "six"))
    assert [found.line[start:end] for start, end in found.marks] == ["lock", "lock"]
    assert excerpt("\n\n  begins here\nthen", ()).line == "  begins here"
    assert excerpt("a\nb\nc", (), at=2).line == "b"
    assert excerpt("", ()).line == ""


def test_a_long_line_is_cut_around_what_matched() -> None:
    text = "word " * 500 + "lock" + " word" * 500
    found = excerpt(text, spans(text, (Term("lock"),)))
    assert found.line.startswith("…") and found.line.endswith("…") and len(found.line) <= LINE + 2
    ((start, end),) = found.marks
    assert found.line[start:end] == "lock"


def test_a_secret_is_hidden_though_half_of_it_is_marked() -> None:
    secret = "sk-ant-api03-" + "a1B2" * 20
    text = f"key {secret} end"
    found = excerpt(text, spans(text, (Term("ant"),)))
    assert "a1B2" not in found.line
    assert found.line.endswith(" end")


@given(st.text(alphabet="ab \n", max_size=60), st.sampled_from(["a", "ab", "b"]))
def test_marks_lie_in_the_line(text: str, word: str) -> None:
    found = excerpt(text, spans(text, (Term(word),)))
    assert all(found.line[start:end].lower() == word for start, end in found.marks)
