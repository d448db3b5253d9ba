"""Any JSON value, and any message of the Messages protocol, well formed or not, for property tests."""

import json
from typing import Any

from hypothesis import strategies as st

any_text = st.text(st.characters(codec=None, exclude_categories=()), max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.integers(2**63, 2**70) | any_text
numbers = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    scalars | numbers, lambda items: st.lists(items, max_size=4) | st.dictionaries(any_text, items, max_size=4)
)


def as_json(value: Any) -> Any:
    """As it is after a way through JSON, where two surrogates that meet become one character."""
    return json.loads(json.dumps(value))


def same(one: Any, other: Any) -> bool:
    """The same JSON value, strictly: 1, 1.0 and true are three."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


texts = any_text | st.sampled_from(
    ["", "<system-reminder>x</system-reminder>", "<system-reminder></system-reminder>\n"]
)
markers = st.sampled_from([None, {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])
noise: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {}, optional={"cache_control": markers, "citations": st.sampled_from([None, [], [{}]])}
)
tool_inputs = st.dictionaries(st.sampled_from(["cache_control", "citations", "a", ""]), values, max_size=3)


def blocks_of(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda block, extra: {**block, **extra}, st.fixed_dictionaries(members), noise)


text_blocks = blocks_of(type=st.just("text"), text=texts)
tool_uses = blocks_of(
    type=st.just("tool_use"),
    id=any_text,
    name=any_text,
    input=tool_inputs,
    caller=st.sampled_from([None, {"type": "direct"}, {"type": "direct", "x": None}, {"type": "other"}]),
)
tool_results = blocks_of(
    type=st.just("tool_result"), tool_use_id=any_text, content=texts | st.lists(text_blocks, max_size=3)
)
contents = texts | st.lists(text_blocks | tool_uses | tool_results | values, max_size=5) | values
messages = st.builds(
    lambda role, content, extra: {"role": role, "content": content, **extra},
    st.sampled_from(["user", "assistant", "system"]),
    contents,
    st.fixed_dictionaries(
        {},
        optional={
            "id": any_text,
            "type": st.sampled_from(["message", "other"]),
            "usage": values,
            "name": values,
            "cache_control": markers,
            "tool_calls": values,
        },
    ),
).map(as_json)
