"""The scripted model as a function of its request: it remembers nothing, copes with what goes wrong, and says what it
did."""

import ast
import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

import backends.practice.model as package
from backends.harness.strategies import PORTFOLIO
from backends.practice import TASKS
from backends.practice.model.conversation import story
from backends.practice.model.policy import Reply, reply
from backends.practice.model.wire import problem
from backends.practice.repository import source
from store.domain.ids import SubagentId
from tests import rehearsal
from tests.rehearsal import TURNS, Bench, Lane

INTERRUPTED = (
    "interrupted: the engine died while this ran; nobody knows whether it took effect. Look before you repeat it."
)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return rehearsal.bench("one")


def lane(
    bench: Bench, *, place: int = 1, turns: int = TURNS, observations: str = "", recall: str | None = None
) -> Lane:
    return Lane(bench, SubagentId("run", 1, place), PORTFOLIO[place - 1], observations, recall, turns)


def step(work: Lane, seed: int = 1) -> Reply:
    """One turn of an attempt, its tools carried out."""
    request = work.request()
    assert problem(request) is None
    answer = reply(request, seed)
    work.messages.append({"role": "assistant", "content": list(answer.blocks)})
    results = [work.call(block, len(work.messages)) for block in answer.blocks if block["type"] == "tool_use"]
    work.messages.append({"role": "user", "content": results})
    return answer


def calls(answer: Reply, name: str) -> list[dict[str, Any]]:
    return [dict(block["input"]) for block in answer.blocks if block["type"] == "tool_use" and block["name"] == name]


# Words that the model looks for as anybody would, and that a task happens to use as a name: for telling, for keeping,
# for locks; and words of the protocol and of its own speech.
GENERAL = {"Failed", "acquire", "append", "broken", "check", "content", "error", "flush", "history", "load", "message"}
GENERAL |= {"name", "notify", "path", "print", "publish", "put", "record", "release", "run", "save", "send", "start"}
GENERAL |= {"call", "close", "last", "submit", "status", "text", "write"}


def test_it_knows_no_name_of_any_task() -> None:
    known = [path.read_text() for path in Path(package.__file__).parent.rglob("*.py")]
    words = set(re.findall(r"[A-Za-z_][A-Za-z0-9_]+", "\n".join(known)))
    nodes = [node for text in known for node in ast.walk(ast.parse(text))]
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    looked_for = {word for text in texts for word in text.split() if len(text.split()) == 1 or "_" in word}
    for task in TASKS:
        tree = source(task).commits[-1].tree
        whole = "\n".join(text for path, text in tree.items() if path.endswith(".py") and "check" not in path)
        files = {part.removesuffix(".py") for path in tree for part in path.split("/")}
        shouted = (
            files | set(re.findall(r"class (\w+)", whole)) | set(re.findall(r"^([A-Z_]{5,}) =", whole, re.MULTILINE))
        )
        names = set(re.findall(r"def (\w+)", whole)) | set(re.findall(r"self\.(\w+) = ", whole))
        assert len(names) > 40
        assert (shouted - {"__init__", "README.md", "tests", ".gitignore", "hub"}) & words <= GENERAL
        assert (names - {"__init__"}) & looked_for <= GENERAL


def test_an_attempt_looks_around_first_and_ends_honestly(bench: Bench) -> None:
    work = lane(bench)
    first = step(work)
    assert [block["type"] for block in first.blocks[:2]] == ["thinking", "text"]
    assert {"command": "git ls-files"} in calls(first, "run")
    assert {"command": bench.task.check} in calls(first, "run")
    answers = [first]
    while not calls(answers[-1], "submit"):
        answers.append(step(work))
    assert len(answers) <= TURNS
    read = {given["path"] for answer in answers for given in calls(answer, "read")}
    assert not any(bench.guarded(path) for path in read), "what is protected is not looked into"
    edits = [given for answer in answers for given in calls(answer, "edit")]
    assert edits
    tries = sum(bool(calls(answer, "edit") and calls(answer, "run")) for answer in answers)
    assert 3 <= tries <= 5
    assert work.steps[-1].name == "submit"
    summary = calls(answers[-1], "submit")[0]["summary"]
    assert re.search(r"The check counted \d+ at first and \d+ with what is in place\.", summary)
    assert "Not tried:" in summary
    code, _ = bench.check(work.judged)
    assert code == 1


def test_the_same_request_gets_the_same_answer_and_another_seed_another_order(bench: Bench) -> None:
    one, two, other = lane(bench), lane(bench), lane(bench)
    for work, seed in ((one, 1), (two, 1), (other, 2)):
        work.work(seed)
    assert one.messages == two.messages
    assert [s.input for s in one.steps if s.name == "edit"] != [s.input for s in other.steps if s.name == "edit"]
    for at in range(1, len(one.messages), 2):
        again = json.loads(json.dumps({**one.request(), "messages": one.messages[:at]}))
        assert list(reply(again, 1).blocks) == one.messages[at]["content"]


def test_strategies_and_labels_lead_to_different_first_tries(bench: Bench) -> None:
    works = [lane(bench, place=place) for place in range(1, 6)]
    for work in works:
        work.work(1)
    firsts = {next(json.dumps(s.input, sort_keys=True) for s in work.steps if s.name == "edit") for work in works}
    assert len(firsts) >= 3
    histories = [any("git log" in str(s.input) for s in work.steps) for work in works]
    assert histories.count(True) == 1, "only the strategy that goes by recent changes reads the history"


@pytest.mark.parametrize("took_effect", [True, False])
@pytest.mark.parametrize("which", ["edit", "run", "read"])
def test_a_call_that_was_interrupted_is_looked_into_before_it_is_repeated(
    bench: Bench, which: str, took_effect: bool
) -> None:
    work = lane(bench)
    hit = False
    for _ in range(TURNS):
        request = work.request()
        answer = reply(request, 1)
        work.messages.append({"role": "assistant", "content": list(answer.blocks)})
        results = []
        for block in answer.blocks:
            if block["type"] != "tool_use":
                continue
            if block["name"] == which and not hit and (which == "read" or calls(answer, "edit")):
                hit = True
                before = dict(work.files)
                done = work.call(block, 1)
                if not took_effect:
                    work.files = before
                results.append({**done, "content": INTERRUPTED, "is_error": True})
            elif hit and results and results[-1]["content"] == INTERRUPTED:
                # What comes after the call that the engine died in was never begun.
                results.append(
                    {"type": "tool_result", "tool_use_id": block["id"], "content": INTERRUPTED, "is_error": True}
                )
            else:
                results.append(work.call(block, 1))
        work.messages.append({"role": "user", "content": results})
        if calls(answer, "submit"):
            break
    assert hit
    told = story(work.request())
    for path in told.touched:
        assert told.now[path] == work.files[path], "it knows what the files are"
    improved = bench.check(work.judged)[1]
    assert improved != "", "and has left them in a state that the check can judge"


def test_an_edit_that_is_refused_does_not_stop_it(bench: Bench) -> None:
    work = lane(bench)
    refused = 0
    answer = Reply((), "")
    for _ in range(TURNS):
        answer = reply(work.request(), 3)
        work.messages.append({"role": "assistant", "content": list(answer.blocks)})
        results = [
            work.call(block, 1) for block in answer.blocks if block["type"] == "tool_use" and block["name"] != "edit"
        ]
        for block in answer.blocks:
            if block["type"] == "tool_use" and block["name"] == "edit":
                refused += 1
                error = {"type": "tool_result", "tool_use_id": block["id"], "content": "the old text is not there"}
                results.append({**error, "is_error": True})
        work.messages.append({"role": "user", "content": results})
        if calls(answer, "submit"):
            break
    assert refused >= 2
    assert calls(answer, "submit")
    assert work.files == bench.files


def test_somebody_else_changed_the_file(bench: Bench) -> None:
    """A file in a state that it did not bring about is put in order before the next try."""
    work = lane(bench)
    while not any(s.name == "edit" for s in work.steps):
        step(work)
    path = next(str(s.input["path"]) for s in work.steps if s.name == "edit")
    forked = copy.deepcopy(work.messages)
    call = {"type": "tool_use", "id": "toolu_x", "name": "edit", "input": {"path": path, "old": '"""', "new": "X"}}
    forked.append({"role": "assistant", "content": [call]})
    error = {"type": "tool_result", "tool_use_id": "toolu_x", "content": INTERRUPTED, "is_error": True}
    forked.append({"role": "user", "content": [error]})
    answer = reply({**work.request(), "messages": forked}, 1)
    assert calls(answer, "read") == [{"path": path}]


def test_long_files_are_read_to_the_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.agents.tools.RESULT_CAP", 1500)
    work = lane(bench, turns=30)
    for _ in range(12):
        step(work)
    told = story(work.request())
    assert len(told.base) >= 12
    assert all(told.base[path] == bench.files[path] for path in told.base)


def test_without_tools_or_a_check_it_says_what_it_needs(bench: Bench) -> None:
    request = lane(bench).request()
    answer = reply({**request, "tools": []}, 1)
    assert answer.stop_reason == "end_turn"
    assert "edit, read, run, submit" in answer.blocks[0]["text"]
    nothing = reply({"messages": [{"role": "user", "content": "Hello"}], "tools": request["tools"]}, 1)
    assert nothing.stop_reason == "end_turn"
    assert "Check" in nothing.blocks[0]["text"]


def test_a_repository_it_cannot_read_ends_the_attempt(bench: Bench) -> None:
    work = lane(bench)
    step(work)
    listing = work.messages[-1]["content"][0]
    listing["content"] = "exit code 0\nmain.c\nREADME.md"
    answer = reply(work.request(), 1)
    assert calls(answer, "submit")


def test_few_turns_end_before_they_are_used_up(bench: Bench) -> None:
    for turns in range(1, 8):
        work = lane(bench, turns=turns)
        work.work(1)
        assert work.steps[-1].name == "submit", f"with {turns} turns"
        assert bench.check(work.judged)[0] == 1
