from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from store.dag import CONVERSATIONS, Conversation, Extension, Memory, Tape, extend, shared_length
from store.domain.canonical import value_digest
from store.domain.kept import node_key, split
from store.exact import form, loads

TAPE = Tape("abcde", 1, 1)


def turn(number: int, text: str = "go on") -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": f"{text} {number}"},
        {"role": "assistant", "content": [{"type": "text", "text": f"answer {number}"}]},
    ]


def talk(turns: int) -> list[dict[str, Any]]:
    return [message for number in range(turns) for message in turn(number)]


def chain(messages: list[dict[str, Any]]) -> list[str]:
    """The keys, one by one, with no memory."""
    keys: list[str] = []
    for message in messages:
        keys.append(node_key(keys[-1] if keys else None, message))
    return keys


def grown(known: Conversation, messages: list[dict[str, Any]]) -> Extension:
    return extend(known, messages, [form(message) for message in messages])


def test_a_longer_conversation_takes_apart_only_what_is_new() -> None:
    messages = talk(50)
    before = grown(Conversation(), messages[:-2])
    after = grown(before.conversation, messages)
    assert set(after.kept) == {98, 99} and after.common == 98
    assert after.conversation.keys == chain(messages)


def test_the_same_request_again_takes_nothing_apart() -> None:
    before = grown(Conversation(), talk(3))
    again = grown(before.conversation, talk(3))
    assert not again.kept and not again.changed and again.conversation.keys == before.conversation.keys


def test_a_cache_marker_that_moves_on_costs_two_messages() -> None:
    def said(text: str, **more: Any) -> dict[str, Any]:
        return {"role": "user", "content": [{"type": "text", "text": text, **more}]}

    marker = {"cache_control": {"type": "ephemeral"}}
    talk = [said(str(number)) for number in range(40)]
    before = grown(Conversation(), [*talk, said("last", **marker)])
    # The message that had the marker comes again without it, and two new ones follow.
    after = grown(before.conversation, [*talk, said("last"), said("answer"), said("next", **marker)])
    assert set(after.kept) == {40, 41, 42}
    assert after.common == 41 and after.changed == {40, 42}
    assert set(after.conversation.overlays) == {42}


def test_a_first_message_that_changes_only_in_its_reminder_spoils_nothing() -> None:
    def told(time: str) -> list[dict[str, Any]]:
        reminder = {"type": "text", "text": f"<system-reminder>It is {time}.</system-reminder>"}
        return [{"role": "user", "content": [reminder, {"type": "text", "text": "fix it"}]}, *talk(20)]

    before = grown(Conversation(), told("noon"))
    after = grown(before.conversation, told("one"))
    assert set(after.kept) == {0} and after.common == 41
    assert after.conversation.keys == before.conversation.keys


def test_an_edit_in_the_middle_is_a_branch_from_there() -> None:
    before = grown(Conversation(), talk(5))
    edited = [*talk(2), *turn(7, "no:"), *turn(8)]
    after = grown(before.conversation, edited)
    assert after.common == 4 and set(after.kept) == {4, 5, 6, 7}
    assert after.conversation.keys == chain(edited)


conversations = st.lists(
    st.sampled_from([*talk(2), {"role": "user", "content": [{"type": "text", "text": "", "cache_control": None}]}]),
    max_size=8,
)


@given(st.lists(conversations, min_size=1, max_size=4))
def test_whatever_was_remembered_the_chain_is_the_same(requests: list[list[dict[str, Any]]]) -> None:
    known = Conversation()
    for messages in requests:
        extension = grown(known, messages)
        found = extension.conversation
        assert found.keys == chain(messages)
        assert found.digests == [value_digest(message) for message in messages]
        overlays = {index: split(message)[1] for index, message in enumerate(messages)}
        assert {index: loads(data) for index, data in found.overlays.items()} == {
            index: overlay for index, overlay in overlays.items() if overlay is not None
        }
        differ = {
            index
            for index in range(max(len(messages), len(known.keys)))
            if found.overlays.get(index) != known.overlays.get(index)
        }
        assert extension.changed == differ
        assert extension.common == shared_length(
            [key.encode() for key in known.keys], [key.encode() for key in found.keys]
        )
        known = found


def remember(memory: Memory, tape: Tape, messages: list[dict[str, Any]]) -> Extension:
    forms = [form(message) for message in messages]
    known = memory.find(tape, forms)
    extension = extend(known, messages, forms)
    memory.keep(tape, extension.conversation, known, extension.common)
    return extension


def test_conversations_in_parallel_are_each_remembered() -> None:
    memory = Memory()
    lanes = [[{"role": "user", "content": f"lane {lane}"}, *talk(10)] for lane in range(CONVERSATIONS)]
    for messages in lanes:
        remember(memory, TAPE, messages)
    for messages in lanes:
        assert set(remember(memory, TAPE, [*messages, *turn(11)]).kept) == {21, 22}


def test_a_branch_from_far_back_does_not_push_out_where_it_came_from() -> None:
    memory = Memory()
    remember(memory, TAPE, talk(10))
    remember(memory, TAPE, [*talk(2), *turn(77)])
    assert set(remember(memory, TAPE, [*talk(10), *turn(11)]).kept) == {20, 21}
    assert set(remember(memory, TAPE, [*talk(2), *turn(77), *turn(78)]).kept) == {6, 7}


def test_tapes_remember_each_their_own() -> None:
    memory = Memory()
    remember(memory, TAPE, talk(3))
    assert len(remember(memory, TAPE._replace(lane=2), talk(3)).kept) == 6


def test_memory_is_bounded_and_forgets_the_quietest_tape() -> None:
    size = remember(Memory(), TAPE, talk(10)).conversation.size
    memory = Memory(most=3 * size)
    for lane in (1, 2, 3, 1, 4):
        remember(memory, TAPE._replace(lane=lane), talk(10))
    forms = [form(message) for message in talk(10)]
    known = [lane for lane in (1, 2, 3, 4) if memory.find(TAPE._replace(lane=lane), forms).keys]
    assert known == [1, 3, 4]


def test_a_conversation_too_large_to_remember_is_only_forgotten() -> None:
    memory = Memory(most=10)
    assert len(remember(memory, TAPE, talk(2)).kept) == 4
    assert len(remember(memory, TAPE, talk(2)).kept) == 4
