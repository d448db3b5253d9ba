import json
import random
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.domain.difference import LINES, WIDTH, difference
from store.domain.matching import DEFAULT, MatchPolicy, Request, canonical_form, match_key, structural_key

VECTORS = json.loads((Path(__file__).parent / "vectors" / "matching.json").read_text("utf-8"))["pairs"]
EXACT = MatchPolicy(
    frozenset(),
    sampling=False,
    cache_markers=False,
    billing=False,
    ids=False,
    dates=False,
    durations=False,
    places=False,
)


@pytest.mark.parametrize("pair", VECTORS, ids=[pair["what"] for pair in VECTORS])
def test_vectors(pair: dict[str, Any]) -> None:
    one, other = Request(*pair["one"]), Request(*pair["other"])
    assert (match_key(one) == match_key(other)) is pair["same"]
    assert (difference(one, other) == "") is pair["same"], "what matches has no difference, and what doesn't has one"
    assert match_key(one, EXACT) != match_key(other, EXACT) or one.path != other.path, "without a policy all counts"


def conversation(words: list[str], ids: list[str]) -> Request:
    """Turns of a tool call and its result, each with a word, and the id of the call in the words of the next turn."""
    messages: list[Any] = [{"role": "user", "content": "Begin."}]
    for word, identity in zip(words, ids, strict=True):
        use = {"type": "tool_use", "id": identity, "name": "run", "input": {"command": word}}
        messages.append({"role": "assistant", "content": [use]})
        result = {"type": "tool_result", "tool_use_id": identity, "content": f"{word} by {identity}"}
        messages.append({"role": "user", "content": [result]})
    return Request("POST", "/v1/messages", {"model": "m", "messages": messages})


words = st.lists(st.text("abcdefghij ", min_size=1, max_size=20), min_size=2, max_size=6)


def made(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return ["toolu_0" + "".join(draw.choices(string.ascii_letters + string.digits, k=22)) for _ in range(count)]


@given(words, st.integers(0, 1 << 16), st.integers(0, 1 << 16))
def test_ids_that_are_renamed_alike_make_no_difference(said: list[str], one: int, other: int) -> None:
    a, b = conversation(said, made(len(said), one)), conversation(said, made(len(said), other))
    assert match_key(a) == match_key(b)
    assert structural_key(a) == structural_key(b)


@given(words, st.integers(0, 1 << 16), st.data())
def test_results_that_change_places_make_one(said: list[str], seed: int, data: st.DataObject) -> None:
    ids = made(len(said), seed)
    request = conversation(said, ids)
    exchanged = conversation(said, ids)
    first, second = data.draw(st.permutations(range(len(said))))[:2]
    blocks = [exchanged.body["messages"][2 * n + 2]["content"][0] for n in (first, second)]
    for block, identity in zip(blocks, (ids[second], ids[first]), strict=True):
        block["tool_use_id"] = identity
    assert match_key(request) != match_key(exchanged)


@given(words, st.integers(0, 1 << 16), st.data())
def test_a_changed_word_makes_one(said: list[str], seed: int, data: st.DataObject) -> None:
    ids = made(len(said), seed)
    changed = list(said)
    place = data.draw(st.integers(0, len(said) - 1))
    changed[place] += "x"
    a, b = conversation(said, ids), conversation(changed, ids)
    assert match_key(a) != match_key(b)
    assert structural_key(a) == structural_key(b), "words are no structure"
    shown = difference(a, b)
    assert f"- command: {said[place]}\n" in shown + "\n"
    assert f"+ command: {changed[place]}\n" in shown + "\n"
    assert f"@@ body.messages[{2 * place + 1}].content[0].input.command @@" in shown


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(json_values | st.binary())
def test_any_body_has_its_keys(body: Any) -> None:
    request = Request("POST", "/v1/messages", body)
    again = Request("POST", "/v1/messages", json.loads(json.dumps(body)) if not isinstance(body, bytes) else body)
    assert match_key(request) == match_key(again)
    assert structural_key(request) == structural_key(again)
    assert difference(request, again) == ""


@given(json_values)
def test_without_a_policy_the_form_is_the_body(body: Any) -> None:
    if body is not None:
        assert canonical_form(Request("POST", "/", body), EXACT)["body"] == body


def test_a_body_that_is_nested_too_deeply_counts_by_its_bytes() -> None:
    deep: Any = "a"
    other: Any = "b"
    for _ in range(450):
        deep, other = [deep], [other]
    one, two = Request("POST", "/", {"messages": deep}), Request("POST", "/", {"messages": other})
    assert match_key(one) == match_key(Request("POST", "/", {"messages": deep}))
    assert match_key(one) != match_key(two)
    assert structural_key(one)


def test_a_form_is_the_same_whatever_line_keeps_its_parts_apart() -> None:
    def form(boundary: str, words: str) -> Request:
        return Request("POST", "/v1/files", f'--{boundary}\r\nname="a"\r\n\r\n{words}\r\n--{boundary}--\r\n'.encode())

    assert match_key(form("abcdefgh1", "x")) == match_key(form("zyxwvuts9", "x"))
    assert match_key(form("abcdefgh1", "x")) != match_key(form("abcdefgh1", "y"))


def test_known_names_are_one_another() -> None:
    one = Request("POST", "/", {"messages": [{"content": "/home/a/runs/ab/sandboxes/ab.1.1/tree/x.py"}]})
    other = Request("POST", "/", {"messages": [{"content": "/srv/b/runs/cd/sandboxes/cd.1.1/tree/x.py"}]})
    mine = {"/home/a/runs/ab/sandboxes/ab.1.1": "‹sandbox›", "/home/a": "‹home›"}
    theirs = {"/srv/b": "‹home›", "/srv/b/runs/cd/sandboxes/cd.1.1": "‹sandbox›"}
    assert match_key(one) != match_key(other)
    assert match_key(one, DEFAULT, mine) == match_key(other, DEFAULT, theirs)
    assert difference(one, other, DEFAULT, (mine, theirs)) == ""


def test_structure_is_roles_kinds_and_names() -> None:
    def asks(*blocks: dict[str, Any], role: str = "assistant", **more: Any) -> Request:
        return Request("POST", "/v1/messages", {"messages": [{"role": role, "content": list(blocks)}], **more})

    said, run = {"type": "text", "text": "a"}, {"type": "tool_use", "id": "1", "name": "run", "input": {"a": 1}}
    assert structural_key(asks(said, run)) == structural_key(asks({**said, "text": "b"}, {**run, "input": {}}))
    others = [asks(run, said), asks(said), asks(said, {**run, "name": "read"}), asks(said, run, role="user")]
    others += [asks(said, run, model="m"), asks(said, run, tools=[{"name": "run"}])]
    assert len({structural_key(request) for request in [asks(said, run), *others]}) == 1 + len(others)
    call = {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}
    other = {"role": "assistant", "tool_calls": [{"function": {"name": "g"}}]}
    chats = [Request("POST", "/v1/chat/completions", {"messages": [item]}) for item in (call, other)]
    assert structural_key(chats[0]) != structural_key(chats[1])
    parts = [
        Request("POST", "/g", {"contents": [{"parts": [{"functionCall": {"name": name, "args": {}}}]}]})
        for name in "fg"
    ]
    assert structural_key(parts[0]) != structural_key(parts[1])


def test_a_difference_is_readable_safe_and_bounded() -> None:
    key = "sk-ant-api03-" + "k" * 40
    long = "\n".join(f"line {number}" for number in range(5000))
    one = Request(
        "POST", "/v1/messages", {"messages": [{"role": "user", "content": long + "\nend"}], "a": "\x1b[31mred"}
    )
    other = Request(
        "POST",
        "/v1/messages",
        {"messages": [{"role": "user", "content": long + f"\n\x1b]0;{key}"}], "a": "\x1b[31mred"},
    )
    shown = difference(one, other)
    assert "\x1b" not in shown
    assert "kkkk" not in shown
    assert shown.splitlines() == [
        "@@ body.messages[0].content @@",
        "  content: line 4998",
        "  content: line 4999",
        "- content: end",
        "+ content: ␛]0;sk-ant-api03-" + "*" * 40,
        "  role: user",
        "  method: POST",
    ]
    everything = Request(
        "POST", "/v1/messages", {"messages": [{"role": "user", "content": long.replace("line", "x" * 999)}]}
    )
    lines = difference(one, everything).splitlines()
    assert len(lines) <= LINES + 1
    assert all(len(line) <= WIDTH + 5 for line in lines)


def test_a_difference_far_along_a_line_is_seen() -> None:
    one, other = ({"input": "a" * 5000 + end} for end in ("left", "right"))
    shown = difference(Request("POST", "/", one), Request("POST", "/", other))
    assert "left" in shown
    assert "right" in shown
