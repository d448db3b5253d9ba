import json
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import exact
from store.domain.canonical import (
    InexactError,
    canonical,
    digest,
    kept_key,
    parse,
    request_digest,
)
from store.domain.kept import join, join_unit, node_key, split, split_unit, units
from tests.jsonvalues import as_json, markers, messages, same, values

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "vectors" / "canonical.json").read_text("ascii")
)


def case(group: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", VECTORS[group], ids=lambda vector: vector["note"])


# The forms, by example.


@case("canonical")
def test_canonical_vectors(vector: dict[str, Any]) -> None:
    for read in (parse, exact.parse):
        written = canonical(read(vector["json"].encode()))
        assert written.decode("ascii") == vector["canonical"]
        assert digest(written) == vector["digest"]
    assert canonical(parse(vector["canonical"])).decode() == vector["canonical"]


@case("inexact")
def test_what_cannot_be_held_exactly_is_said(vector: dict[str, Any]) -> None:
    for read in (parse, exact.parse):
        with pytest.raises(InexactError):
            read(vector["json"].encode())


@case("no_json")
def test_what_is_no_json_is_refused(vector: dict[str, Any]) -> None:
    for read in (parse, exact.parse):
        with pytest.raises(ValueError) as refused:
            read(vector["json"].encode())
        assert not isinstance(refused.value, InexactError)


@case("nodes")
def test_node_vectors(vector: dict[str, Any]) -> None:
    parent, conversation = vector["parent"], vector.get("conversation", "messages")
    for message in map(parse, vector["messages"]):
        (unit,) = units(message if isinstance(message, list) else [message], conversation)
        kept, overlay = split_unit(unit, conversation)
        assert canonical(kept).decode() == vector["kept"]
        assert kept_key(parent, canonical(kept)) == vector["key"]
        assert same(join_unit(kept, overlay), list(unit))
        if len(unit) == 1:
            assert node_key(parent, unit[0], conversation) == vector["key"]
    # The recipe, spelled out.
    written = f"[{json.dumps(parent)},{vector['kept']}]".encode()
    assert blake2b(written, digest_size=20).hexdigest() == vector["key"]


def test_no_two_node_vectors_share_a_key() -> None:
    keys = [vector["key"] for vector in VECTORS["nodes"]]
    assert len(set(keys)) == len(keys)


@case("requests")
def test_request_vectors(vector: dict[str, Any]) -> None:
    for body in vector["bodies"]:
        assert request_digest(exact.parse(body.encode())) == vector["digest"]


def test_bytes_that_are_no_utf8_are_no_json_of_ours() -> None:
    for data in (b'"\xed\xa0\xbd\xed\xb8\x80"', b'"\xff"', '"a"'.encode("utf-16"), b"\xef\xbb\xbf1"):
        for read in (parse, exact.parse):
            with pytest.raises(ValueError):
                read(data)


def test_nesting_without_end_is_an_error_not_a_crash() -> None:
    with pytest.raises(ValueError):
        exact.parse(b"[" * 100_000)


def test_there_is_no_canonical_nan() -> None:
    with pytest.raises(ValueError):
        canonical({"a": float("nan")})


# The forms, for any value.


@given(values)
def test_canonical_json_is_the_value_and_nothing_else(value: Any) -> None:
    value = as_json(value)
    written = canonical(value)
    assert same(parse(written), value)
    assert canonical(json.loads(json.dumps(value, indent=1, ensure_ascii=True))) == written


@given(values, values)
def test_forms_are_equal_exactly_where_values_are(one: Any, other: Any) -> None:
    one, other = as_json(one), as_json(other)
    assert (exact.form(one) == exact.form(other)) == same(one, other)
    assert (canonical(one) == canonical(other)) == same(one, other)


@given(values, st.booleans(), st.booleans())
def test_parsing_fast_and_slow_agree_however_it_is_written(value: Any, ascii_only: bool, compact: bool) -> None:
    separators = (",", ":") if compact else (", ", " : ")
    data = json.dumps(value, ensure_ascii=ascii_only, separators=separators).encode("utf-8", "backslashreplace")
    assert same(exact.parse(data), json.loads(data))
    assert same(parse(data), json.loads(data))


@given(values)
def test_what_the_store_keeps_comes_back(value: Any) -> None:
    value = as_json(value)
    assert same(exact.loads(exact.dumps(value)), value)


# Messages.


@given(messages)
def test_any_message_comes_apart_and_together(message: dict[str, Any]) -> None:
    before = canonical(message)
    kept, overlay = split(message)
    assert same(join(kept, overlay), message)
    # Through the store, and without harm to what was given.
    stored, left_out = exact.loads(exact.dumps(kept)), exact.loads(exact.form(overlay))
    assert same(join(stored, left_out), message)
    assert same(stored, kept) and canonical(message) == before


@given(messages)
def test_the_kept_form_is_its_own_kept_form(message: dict[str, Any]) -> None:
    kept, _ = split(message)
    again, overlay = split(kept)
    assert same(again, kept) and overlay is None
    assert node_key(None, kept) == node_key(None, message) == kept_key(None, canonical(kept))


@given(messages, markers, st.integers(0, 5))
def test_a_cache_marker_changes_no_key(message: dict[str, Any], marker: Any, position: int) -> None:
    marked = as_json(message)
    content = marked["content"]
    if isinstance(content, list) and position < len(content) and isinstance(content[position], dict):
        content[position]["cache_control"] = marker
    else:
        marked["cache_control"] = marker
    assert node_key("a" * 40, marked) == node_key("a" * 40, message)
    assert same(join(*split(marked)), marked)


@given(messages, st.integers(0, 5), st.sampled_from(["reminder", "empty"]))
def test_what_says_nothing_changes_no_key(message: dict[str, Any], position: int, what: str) -> None:
    more = as_json(message)
    if isinstance(more["content"], str):
        more["content"] = [{"type": "text", "text": more["content"]}]
    if not isinstance(more["content"], list) or (what == "reminder" and more["role"] != "user"):
        return
    text = "" if what == "empty" else "\n<system-reminder>Mind the gap.</system-reminder>"
    more["content"].insert(position, {"type": "text", "text": text})
    assert node_key(None, more) == node_key(None, message)
    assert same(join(*split(more)), more)


def test_an_overlay_is_small() -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "x" * 10_000}] * 3}
    assert split(message)[1] is None
    message["content"] = [*message["content"], {"type": "text", "text": "y", "cache_control": {"type": "ephemeral"}}]
    assert len(exact.form(split(message)[1])) < 100


def test_reasoning_and_its_signature_are_part_of_the_key() -> None:
    def thought(signature: str) -> dict[str, Any]:
        return {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": signature}]}

    assert node_key(None, thought("a")) != node_key(None, thought("b"))


def test_the_order_of_a_tools_input_is_no_part_of_the_key_and_is_kept() -> None:
    def asked(given: dict[str, Any]) -> dict[str, Any]:
        return {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "edit", "input": given}]}

    one, other = asked({"path": "a", "new": "b"}), asked({"new": "b", "path": "a"})
    assert node_key(None, one) == node_key(None, other)
    assert list(exact.loads(exact.dumps(split(one)[0]))["content"][0]["input"]) == ["path", "new"]
