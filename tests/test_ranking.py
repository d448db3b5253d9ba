import json
import random
import re
from itertools import count
from pathlib import Path

import pytest

from store import search, tapes
from store.database import Store, open_store
from store.domain.ids import SubagentId
from store.ranking import ranked
from store.tapes import CallEnd, CallStart, new_call_id


def places(text: str, *words: str) -> list[tuple[int, int]]:
    return sorted(match.span() for word in words for match in re.finditer(re.escape(word), text, re.IGNORECASE))


def order(texts: list[str], *words: str) -> list[int]:
    return ranked(texts, [places(text, *words) for text in texts])


def test_what_says_it_more_often_or_in_fewer_words_comes_first() -> None:
    assert order(["lock " + "x " * 40, "lock lock " + "x " * 39, "lock"], "lock") == [2, 1, 0]


def test_a_rare_word_weighs_more_than_a_common_one() -> None:
    texts = ["the the the pool", "the the the lock", "the the the the", "the the the that"]
    assert order(texts, "the", "pool")[0] == 0


def test_what_is_equally_good_stays_in_its_order() -> None:
    assert order(["lock a", "lock b", "Lock c"], "lock") == [0, 1, 2]
    assert order([], "lock") == []
    assert order(["", ""], "lock") == [0, 1]


RUN, OTHER_RUN = "abcde", "fghij"
WORDS = ("lock", "pool", "retry", "timeout")


def tape(seed: int) -> list[str]:
    """What a lane says, turn by turn."""
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(3, 40))) for _ in range(5)]


def record(store: Store, turns: list[tuple[SubagentId, str]]) -> None:
    """Put turns on their tapes, in this order."""
    times, said = count(1000), dict[SubagentId, list[object]]()
    for who, words in turns:
        at = float(next(times))
        messages = said.setdefault(who, [{"role": "user", "content": "Begin."}])
        body = json.dumps({"messages": messages}).encode()
        start = CallStart(new_call_id(at, b"%05d" % at), at, who.run, who, "anthropic", "POST", "/v1/messages", body)
        answer = {"role": "assistant", "content": [{"type": "text", "text": words}]}
        end = CallEnd(start.id, at + 0.5, 200, complete=True, messages=[answer])
        store.write(lambda connection, start=start, end=end: tapes.record_call(connection, start, end))  # type: ignore[misc] # mypy can't infer a lambda with defaults
        messages += [answer, {"role": "user", "content": "Go on."}]


@pytest.mark.parametrize("query", ["lock", "lock pool", "retry lock timeout", '"pool retry"', "lock nowhere"])
def test_what_is_recalled_depends_on_the_runs_past_alone(tmp_path: Path, query: str) -> None:
    """Neither on the order in which parallel lanes were recorded, nor on other runs, nor on lanes of today."""
    lanes = [SubagentId(RUN, 1, lane) for lane in (1, 2, 3)]
    past = [(who, words) for who in lanes for words in tape(who.lane % 2)]  # two lanes say the same
    by_turns = [past[5 * lane + turn] for turn in range(5) for lane in (2, 0, 1)]
    others = [(SubagentId(OTHER_RUN, 1, lane), words * 3) for lane in (1, 2) for words in tape(lane + 7)]
    today = [(SubagentId(RUN, 2, 1), "lock lock pool " * number) for number in range(1, 9)]
    found = []
    for name, turns in (("one", past), ("two", [*others, *by_turns, *today])):
        with open_store(tmp_path / name) as store:
            record(store, turns)
            hits = search.search(store, query, run=RUN, before_generation=2, prompts=False, limit=6)
            found.append([(hit.subagent, hit.turn, hit.text) for hit in hits])
    assert found[0] == found[1]
    assert len(found[0]) == 6
