"""One thing that went wrong is one observation, however it was met."""

import json
from itertools import count

from backends.observer.attempt import Attempt, Said, Step
from backends.observer.observing import observe_attempts
from store.domain.ids import SubagentId
from store.domain.observations import Document, Observation, Priority, Subject
from store.domain.states import Ending

_number = count()


def step(name: str, given: dict[str, str], result: str, *, ok: bool = True) -> Step:
    number = next(_number)
    asked = Said(json.dumps(given), 1, f"c{number}", f"a{number}")
    return Step(name, given, asked, Said(result, 1, f"c{number}", f"r{number}"), ok)


def ran(command: str, output: str, code: int = 1) -> Step:
    return step("run", {"command": command}, f"exit code {code}\n{output}")


def attempt(lane: int, *steps: Step) -> Attempt:
    who, root = SubagentId("run", 1, lane), f"/home/me/sandboxes/1.{lane}"
    return Attempt(who, "", "Mend it.", "./check", ending=Ending.SUBMITTED, steps=steps, answers=3, root=root)


def found(subject: Subject, *attempts: Attempt) -> list[Observation]:
    document = observe_attempts(Document("run"), attempts, 1).document
    return [o for o in document.observations if o.subject is subject]


def crashed(line: int, key: str, lane: int) -> str:
    path = f"/home/me/sandboxes/1.{lane}/shop/stock.py"
    return f'Traceback (most recent call last):\n  File "{path}", line {line}, in reserve\n    x\nKeyError: {key}\n'


def test_another_line_another_key_another_command_and_another_lane_are_the_same_crash() -> None:
    one = attempt(1, ran("python a.py", crashed(12, "'order-17'", 1)), ran("python3 b.py 9", crashed(44, "'tea'", 1)))
    (crash,) = found(Subject.ERROR, one, attempt(2, ran("make", crashed(13, "'cup'", 2), 2)))
    assert (crash.priority, len(crash.attempts), len(crash.evidence)) == (Priority.IMPORTANT, 2, 3)


def test_another_name_that_is_not_defined_is_another_crash() -> None:
    said = crashed(1, "", 1).replace("KeyError: ", "NameError: name '{}' is not defined")
    assert len(found(Subject.ERROR, attempt(1, *(ran("make", said.format(name)) for name in ("lock", "bank"))))) == 2


def test_a_compiler_says_the_same_wherever_the_sandbox_is_and_in_whatever_quotes() -> None:
    said = "{}shop/a.c:{}:5: error: {}lck{} undeclared (first use in this function)"
    one = attempt(1, ran("gcc a.c", said.format("", 12, "'", "'")), ran("gcc -O2 a.c", said.format("./", 15, "'", "'")))
    two = attempt(2, ran("make", said.format("/home/me/sandboxes/1.2/", 99, "‘", "’"), 2))
    (error,) = found(Subject.ERROR, one, two)
    assert (error.priority, len(error.attempts), error.flags) == (Priority.IMPORTANT, 2, ())


def test_a_tool_that_refuses_in_the_same_way_is_told_once_with_the_files() -> None:
    refused = [step("read", {"path": path}, f"no such file: {path}", ok=False) for path in ("a.py", "b.py", "a.py")]
    (one,) = found(Subject.TOOL, attempt(1, ran("ls", "a", 0), *refused))
    assert one.text == "`read` on `a.py` was refused: `no such file: a.py`. Also: `b.py`."
    assert (len(one.evidence), one.flags) == (3, ())
