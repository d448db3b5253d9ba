"""The stuck rules: what each sees, what it doesn't, and how often they speak on recorded runs."""

from collections.abc import Iterable, Iterator
from itertools import count

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from store.domain.safe_text import safe_line
from store.domain.states import AlertLevel, Ending
from store.domain.stuck import RULES, Watcher
from store.domain.stuck.facts import Answered, Began, Ended, Fact, Spent, Told, Used, Waited
from store.domain.stuck.normal import is_check, masked, tries
from store.domain.stuck.tree import Tree
from store.domain.subagent_events import Alert

NOTE, WARNING, STUCK = AlertLevel.NOTE, AlertLevel.WARNING, AlertLevel.STUCK
CHECK = "python check.py"


class Tape:
    """Facts with sequence numbers and turns of their own."""

    def __init__(self) -> None:
        self._seq = count(1)

    def run(self, command: str, text: str = "exit code 0", *, ok: bool = True) -> Used:
        return self.use("run", text, ok=ok, command=command)

    def read(self, path: str, text: str = "lines") -> Used:
        return self.use("read", text, path=path)

    def edit(self, old: str, new: str, path: str = "shop.py") -> Used:
        return self.use("edit", "edited", path=path, old=old, new=new)

    def use(self, tool: str, text: str = "", *, ok: bool = True, **arguments: object) -> Used:
        seq = next(self._seq)
        return Used(seq=seq, turn=seq, name=tool, given=arguments, text=text, ok=ok, call=f"c{seq}", node=f"n{seq}")

    def say(self, text: str = "Let me think.", tools: int = 0, *, offered: bool = True, cut: bool = False) -> Answered:
        seq = next(self._seq)
        return Answered(seq=seq, turn=seq, text=text, tools=tools, offered=offered, cut=cut)


@pytest.fixture
def tape() -> Tape:
    return Tape()


def said(facts: Iterable[Fact], rule: str = "", watcher: Watcher | None = None) -> list[Alert]:
    """What the rules say of the facts; one rule's alone where one is named."""
    watcher = watcher or Watcher(CHECK)
    return [alert for fact in facts for alert in watcher.take(fact) if not rule or alert.rule == rule]


def levels(facts: Iterable[Fact], rule: str) -> list[AlertLevel]:
    return [alert.level for alert in said(facts, rule)]


def test_the_same_call_counts_wherever_it_is_made(tape: Tape) -> None:
    def work() -> Iterator[Fact]:
        for number in range(5):
            yield tape.read("shop.py")
            yield tape.read(f"other{number}.py")
            yield Told(seq=1000 + number)

    alerts = said(work(), "same-call")
    assert [alert.level for alert in alerts] == [NOTE, WARNING, STUCK], "once for each level"
    assert alerts[2].text == "The same call 4 times, each with the same result: read shop.py"
    assert [(one.seq, one.call, one.node) for one in alerts[2].evidence] == [
        (seq, f"c{seq}", f"n{seq}") for seq in (1, 3, 5, 7)
    ]


def test_what_differs_by_itself_is_the_same_result(tape: Tape) -> None:
    times = [f"exit code 1\n2026-11-2{n} 10:00:0{n} ran in 0.{n}3s at 0x7f{n}ab3c  3 failed" for n in range(3)]
    assert levels((tape.run("make  all", text) for text in times), "same-call") == [NOTE, WARNING]
    counts = [f"exit code 1\n{n} failed" for n in range(3)]
    assert levels((tape.run("make all", text) for text in counts), "same-call") == []


def test_another_workspace_another_count(tape: Tape) -> None:
    looped = [tape.run(CHECK, "exit code 1\n3 broken"), tape.edit("a", "b"), tape.run(CHECK, "exit code 1\n3 broken")]
    assert levels(looped, "same-call") == []
    for change in ("sed -i s/a/b/ shop.py", "git apply fix.patch", "echo 1 > answer", "python3 - <<'E'\nE", "rm x"):
        assert levels([tape.run("ls"), tape.run(change), tape.run("ls")], "same-call") == [], change
    for look in ("make 2>&1", "ls > /dev/null", "cat a | grep -v b", "git diff"):
        assert levels([tape.run("ls"), tape.run(look), tape.run("ls")], "same-call") == [NOTE], look
    assert levels([tape.run("echo 1 > answer") for _ in range(4)], "same-call") == [NOTE, WARNING], (
        "what writes the same again changes nothing more"
    )


def test_a_refused_edit_changes_nothing(tape: Tape) -> None:
    refused = [tape.use("edit", "the old text is not there", ok=False, path="a", old="x", new=str(n)) for n in range(4)]
    assert levels(refused, "same-error") == [WARNING, STUCK]


def test_the_same_error_in_a_row(tape: Tape) -> None:
    fails = [tape.run("./build", f"exit code 2\nno rule to make target (0.{n}s)") for n in range(4)]
    assert levels(fails, "same-error") == [WARNING, STUCK]
    assert levels([*fails[:2], tape.read("a"), *fails[2:]], "same-error") == [], "not in a row"
    others = [tape.run("./build", f"exit code 2\n{n} errors") for n in range(4)]
    assert levels(others, "same-error") == []
    assert levels(others, "errors") == [], "a command that fails could be carried out"


def test_errors_of_different_kinds_in_a_row(tape: Tape) -> None:
    refused = [tape.use("read", f"there is no file {name}", ok=False, path=name) for name in "abc"]
    assert levels(refused, "errors") == [WARNING]
    told = [tape.use("get_user", f"Error: no user {name}", id=name) for name in "abc"]
    assert levels(told, "errors") == [WARNING], "some protocols have no other word for it"
    alike = [tape.use("read", "there is no file a", ok=False, path="a") for _ in range(3)]
    assert [alert.rule for alert in said(alike) if alert.level is WARNING] == ["same-call", "same-error"]
    lost = [tape.use("read", "interrupted: the engine ended", ok=False, path="a") for _ in range(4)]
    assert said(lost) == [], "nobody knows what became of it"


def test_two_calls_in_turn(tape: Tape) -> None:
    def pairs(times: int, between: Fact | None = None) -> Iterator[Fact]:
        for number in range(times):
            yield tape.read("a", f"{number}")
            yield tape.read("b", f"{number}")
            if between is not None:
                yield between

    assert levels(pairs(3), "alternating") == [STUCK]
    assert levels([tape.read("c"), *pairs(3)], "alternating") == [STUCK]
    assert levels([*pairs(2), tape.read("c"), *pairs(1)], "alternating") == []
    assert levels(pairs(6, tape.read("c")), "alternating") == []
    assert levels((tape.read("a", f"{number}") for number in range(8)), "alternating") == []
    changed = [fact for pair in range(4) for fact in (tape.run(CHECK, f"exit code {pair}"), tape.edit("a", f"b{pair}"))]
    assert levels(changed, "alternating") == []


def test_words_without_action(tape: Tape) -> None:
    assert levels([tape.say(), tape.say(), tape.say(), tape.say()], "no-action") == [STUCK]
    assert levels([tape.say(), tape.say(), tape.say(tools=1), tape.say()], "no-action") == []
    assert levels([tape.say(), Told(seq=90), tape.say(), Told(seq=91), tape.say()], "no-action") == []
    assert levels([tape.say(offered=False) for _ in range(5)], "no-action") == [], "it had nothing to act with"


def test_malformed_answers(tape: Tape) -> None:
    bad = [tape.use("run", "malformed tool call: command is missing", ok=False) for _ in range(3)]
    assert levels(bad, "malformed") == [STUCK]
    assert levels([*bad[:2], tape.read("a"), bad[2]], "malformed") == []
    assert levels([tape.say(cut=True) for _ in range(3)], "malformed") == [STUCK]
    one = [Used(seq=n, turn=1, name="run", text="malformed tool call: no", ok=False) for n in range(1, 5)]
    assert levels(one, "malformed") == [], "one answer may have many calls"


def test_commands_that_run_out_of_time(tape: Tape) -> None:
    slow = [tape.run("sleep 99", "timed out after 5 s, and was killed", ok=False) for _ in range(3)]
    assert levels(slow, "timeouts") == [STUCK]
    assert levels([slow[0], tape.read("a"), *slow[1:]], "timeouts") == [STUCK], "reading is no command"
    assert levels([slow[0], tape.run("ls"), *slow[1:]], "timeouts") == []


def test_one_answer_that_says_the_same_over_and_over(tape: Tape) -> None:
    line = "I should look at the ledger once more, and then at the stock. "
    assert levels([tape.say(line * 12)], "repeated-text") == [STUCK]
    assert levels([tape.say("-" * 900)], "repeated-text") == [], "a ruled line"
    assert levels([tape.say(f"```\n{line * 12}```")], "repeated-text") == [], "code"
    assert (
        levels([tape.say("".join(f"{number} is not {number + 1}. " for number in range(200)))], "repeated-text") == []
    )


def test_the_same_tests_fail_after_edit_upon_edit(tape: Tape) -> None:
    def work(outputs: Iterable[str]) -> Iterator[Fact]:
        for number, output in enumerate(outputs):
            yield tape.run(CHECK, f"exit code 1\n{output} in 0.{number}s")
            yield tape.edit(f"a{number}", f"b{number}")

    alerts = said(work(["3 broken"] * 8), "tests-unchanged")
    assert [alert.level for alert in alerts] == [WARNING, STUCK]
    assert alerts[0].text == "The same tests fail after 3 edits: run python check.py"
    assert alerts[0].evidence[0].seq == 1
    assert levels(work(f"{n} broken" for n in range(8)), "tests-unchanged") == []
    named = (f"FAILED tests/test_pay.py::test_twice - assert {n} == 1\nFAILED t.py::b" for n in range(5))
    assert levels(work(named), "tests-unchanged") == [WARNING], "the same tests, whatever they print"
    assert levels([tape.run(CHECK, "exit code 1\n3 broken") for _ in range(9)], "tests-unchanged") == [], "no edit"


def test_going_in_circles(tape: Tape) -> None:
    def there_and_back(times: int) -> Iterator[Fact]:
        for number in range(times):
            yield tape.run(CHECK, f"exit code 1\n{number} broken")
            yield tape.edit("a", "b")
            yield tape.run(CHECK, f"exit code 1\n{number} lost")
            yield tape.edit("b", "a")

    assert levels(there_and_back(6), "tree-returns") == [NOTE, WARNING, STUCK]
    undone = [fact for n in range(9) for fact in (tape.edit("a", f"b{n}"), tape.run(CHECK), tape.edit(f"b{n}", "a"))]
    assert levels(undone, "tree-returns") == [], "each trial is another one"
    unknown = [fact for _ in range(5) for fact in (tape.run(CHECK), tape.run("sed -i s/a/b/ x"), tape.edit("a", "b"))]
    assert levels(unknown, "tree-returns") == [], "nobody knows what the files are"


def test_the_budget_goes_and_nothing_was_tried(tape: Tape) -> None:
    spent = [Spent(seq=n, limit=Ending.TURNS, share=n / 10) for n in range(1, 11)]
    (alert,) = said(spent, "no-check")
    assert (alert.level, alert.evidence[0].seq) == (WARNING, 8)
    assert alert.text == "80% of its turn limit is used up, and the check has not run once"
    assert said([tape.run("cd src && python check.py | tail"), *spent], "no-check") == []
    assert said([tape.run("pytest -q tests"), *spent], "no-check") == []
    assert len(said([Ended(seq=3, ending=Ending.TIME)], "no-check")) == 1
    assert said([Ended(seq=3, ending=Ending.SUBMITTED)], "no-check") == []


def test_a_subagent_that_never_started() -> None:
    (alert,) = said([Began(seq=1), Ended(seq=2, ending=Ending.NEVER_STARTED, detail="codex: command not found")])
    assert (alert.rule, alert.level) == ("never-started", STUCK)
    assert "codex: command not found" in alert.text
    waited = [Began(seq=1), *(Waited(seq=1, seconds=seconds) for seconds in (5.0, 119.0, 120.0, 121.0))]
    assert levels(waited, "never-started") == [STUCK]
    assert said([Began(seq=1), Answered(seq=2, tools=1), Waited(seq=1, seconds=999.0)], "never-started") == []
    assert said([Began(seq=1), Ended(seq=2, ending=Ending.KILLED)]) == [], "the operator knows"


def test_started_anew_nothing_before_counts(tape: Tape) -> None:
    watcher = Watcher(CHECK)
    assert len(said([tape.read("a"), tape.read("a")], watcher=watcher)) == 1
    assert said([Began(seq=50, afresh=True), tape.read("a")], watcher=watcher) == []
    assert len(said([Began(seq=60), tape.read("a")], watcher=watcher)) == 1, "another engine goes on with it"


def test_after_the_operator_stepped_in_it_is_said_again(tape: Tape) -> None:
    def loop() -> list[Fact]:
        return [tape.run("./build", "exit code 2\nno rule") for _ in range(4)]

    watcher = Watcher(CHECK)
    assert [alert.level for alert in said(loop(), "same-error", watcher)] == [WARNING, STUCK]
    assert said(loop(), "same-error", watcher) == []
    watcher.take(Told(seq=80, operator=True))
    assert [alert.level for alert in said(loop(), "same-error", watcher)] == [WARNING, STUCK]


def test_a_command_that_failed_was_run_whatever_its_agent_calls_that(tape: Tape) -> None:
    fails = [tape.run(f"make {name}", f"Exit code 2\nno rule for {name}", ok=False) for name in "abc"]
    assert levels(fails, "errors") == []
    assert levels([tape.use("lookup", f"Error codes of {name}", q=name) for name in "abc"], "errors") == []


def test_an_agents_own_subagents_are_counted_apart() -> None:
    reads = [Used(seq=n, turn=n, thread=f"t{n}", name="read", given={"path": "a"}, text="x") for n in range(9)]
    assert said(reads) == []


def test_evidence_has_its_ends(tape: Tape) -> None:
    facts: list[Fact] = [tape.run(CHECK, "exit code 1\n3 broken")]
    facts += [tape.edit(f"a{n}", "b") for n in range(30)]
    facts.append(tape.run(CHECK, "exit code 1\n3 broken"))
    (alert,) = said(facts, "tests-unchanged")
    assert (len(alert.evidence), alert.evidence[0].seq, alert.evidence[-1].seq) == (8, 1, 32)


@pytest.mark.parametrize(
    "command", ["python check.py", "cd /x &&  python   check.py -v", "python3 check.py", "make test", "go test ./..."]
)
def test_what_runs_the_check(command: str) -> None:
    assert is_check(command, CHECK)
    assert tries(command)


@pytest.mark.parametrize("command", ["cat check.py", "git diff check.py", "python shop.py", "ls tests", ""])
def test_what_does_not(command: str) -> None:
    assert not is_check(command, CHECK)


def test_the_files_are_known_by_what_was_done_to_them(tape: Tape) -> None:
    tree = Tree()
    assert tree.take(tape.edit("one\ntwo", "one\n2"))
    first = tree.state
    assert tree.take(tape.edit("2", "two"))
    assert tree.state == ""
    assert tree.take(tape.edit("one\ntwo", "one\n2"))
    assert tree.state == first
    assert tree.take(tape.use("write", "ok", path="new.py", new="x"))
    assert not tree.take(tape.use("write", "ok", path="new.py", new="x"))
    assert tree.take(tape.run("git checkout -- new.py"))
    assert tree.state == first
    assert tree.take(tape.run("git stash"))
    assert tree.state == ""
    assert tree.take(tape.run("git stash pop"))
    assert tree.state not in ("", first)


def test_tools_that_nothing_is_known_of_change_by_their_name(tape: Tape) -> None:
    tree = Tree()
    assert tree.take(tape.use("cancel_reservation", "done", id="1"))
    assert tree.take(tape.use("updateUser", "done", id="1"))
    assert not tree.take(tape.use("get_reservation", "r", id="1"))
    assert not tree.take(tape.use("settle", "r", id="1"))
    assert not tree.take(tape.use("cancel_reservation", "Error: no such reservation", id="2"))


TEXTS = some.text(max_size=40) | some.sampled_from(
    ["timed out after 5 s", "Error: no", "exit code 1\nx", "interrupted: "]
)
FACTS = some.one_of(
    some.builds(
        Used,
        seq=some.integers(1, 50),
        turn=some.integers(1, 9),
        name=some.sampled_from(["run", "edit", "read", "write", "odd tool"]),
        given=some.dictionaries(
            some.sampled_from(["command", "path", "old", "new", "x"]),
            TEXTS | some.integers() | some.none() | some.lists(TEXTS, max_size=2),
        ),
        text=TEXTS,
        ok=some.booleans(),
    ),
    some.builds(Answered, seq=some.integers(1, 50), text=TEXTS, tools=some.integers(0, 1), cut=some.booleans()),
    some.builds(Ended, seq=some.integers(1, 50), ending=some.sampled_from(Ending), detail=TEXTS),
    some.builds(Began, seq=some.integers(1, 50), afresh=some.booleans()),
    some.builds(Told, seq=some.integers(1, 50)),
)


@example([Answered(seq=1, text="", tools=0)] * 3)
@given(some.lists(FACTS, max_size=40))
def test_the_same_facts_give_the_same_alerts_whatever_they_are(facts: list[Fact]) -> None:
    alerts = said(facts)
    assert alerts == said(facts)
    assert {alert.rule for alert in alerts} <= {rule.name for rule in RULES}
    for alert in alerts:
        assert alert.text == safe_line(alert.text)
        assert alert.evidence


def test_a_hostile_result_takes_no_long_time(tape: Tape) -> None:
    for text in (" " * 200_000, "\n" * 200_000, "✗ " * 50_000, "a (1" * 50_000, "error " * 50_000, "0x" * 90_000):
        assert len(masked(text)) <= 150_000
        said([tape.run(CHECK, f"exit code 1\n{text}"), tape.say(text)])
    for command in ("sed " * 20_000, "open(" * 20_000, "make " * 20_000, ">" * 90_000):
        said([tape.run(command)])
