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

# Of the Chat protocol, beside those above.

arguments = st.sampled_from(["", "{}", '{"a": 1}', '{"a":1}', '{"a":[1.0, "é"]}', '{"a"', "[1]", '{"a":1,"a":2}', "7"])
functions = st.fixed_dictionaries({"name": any_text, "arguments": arguments | values}, optional={"strict": values})
tool_calls = st.fixed_dictionaries(
    {},
    optional={
        "id": any_text,
        "type": st.just("function"),
        "index": st.integers(0, 3),
        "function": functions | values,
        "provider_specific_fields": values,
    },
)
chat_messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["assistant", "user", "tool", "developer"])},
    optional={
        "content": texts | st.none() | st.lists(text_blocks, max_size=2),
        "refusal": st.none() | any_text,
        "annotations": st.sampled_from([[], None, [{}]]),
        "tool_calls": st.lists(tool_calls | values, max_size=2) | values,
        "function_call": values,
        "audio": values,
        "reasoning_content": any_text | st.none(),
        "reasoning": values,
        "provider_specific_fields": values,
        "parts": values,
    },
).map(as_json)

# Items of Responses.

item_parts = blocks_of(
    type=st.sampled_from(["input_text", "output_text", "refusal", "text"]),
    text=texts,
    annotations=st.sampled_from([[], None, [{}]]),
    logprobs=st.sampled_from([[], None]),
)
items = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "system"]) | values,
        "type": st.sampled_from(
            ["message", "reasoning", "function_call", "function_call_output", "item_reference", "custom_tool_call"]
        ),
        "id": any_text,
        "status": st.sampled_from(["completed", None]),
        "content": texts | st.lists(item_parts | values, max_size=3) | values,
        "call_id": any_text,
        "arguments": arguments,
        "summary": values,
        "encrypted_content": any_text,
        "input": values,
        "output": values,
        "reasoning": any_text,
        "phase": any_text,
    },
).map(as_json)

# Contents of Gemini.

parts = st.fixed_dictionaries(
    {},
    optional={
        "text": texts,
        "thought": st.sampled_from([True, False, None]),
        "thoughtSignature": any_text,
        "functionCall": st.fixed_dictionaries({"name": any_text, "args": tool_inputs}, optional={"id": values})
        | values,
        "functionResponse": values,
        "inlineData": st.fixed_dictionaries(
            {"mimeType": any_text, "data": st.sampled_from(["a-_b", "a+/b", "a-/b", ""])}
        ),
    },
)
said_parts = st.lists(parts | st.fixed_dictionaries({"text": texts}) | values, max_size=4)
contents_of_gemini = (
    st.fixed_dictionaries({"role": st.just("model"), "parts": said_parts})
    | st.fixed_dictionaries(
        {}, optional={"role": st.sampled_from(["model", "user"]), "parts": said_parts | values, "x": values}
    )
).map(as_json)

CONVERSATIONS: dict[str, st.SearchStrategy[Any]] = {
    "messages": messages | chat_messages,
    "input": items,
    "contents": contents_of_gemini,
}
"""Any message of each kind of conversation."""
