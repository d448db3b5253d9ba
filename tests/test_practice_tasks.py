"""The practice bugs: repositories that are the same everywhere, checks that say the same every time, and repairs that
each help whatever else is repaired."""

import itertools
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from backends.practice import TASKS, make_repository
from backends.practice.model.faults import Hypothesis
from backends.practice.model.hunks import render
from backends.practice.model.suspects import suspects
from backends.practice.repository import source
from store.domain import failures
from tests import rehearsal
from tests.rehearsal import Bench

EVERY = (*TASKS, "renamed:1")


@pytest.fixture(scope="module", params=EVERY)
def bench(request: pytest.FixtureRequest) -> Bench:
    return rehearsal.bench(request.param)


def git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=repository, capture_output=True, text=True, check=True)
    return done.stdout


def counted(bench: Bench, repairs: tuple[Hypothesis, ...]) -> int:
    """What the check counts with these repairs."""
    hunks = frozenset[object]().union(*(each.hunks for each in repairs))
    files = {
        p: render(t, frozenset(h for each in repairs for h in each.hunks if h.path == p))
        for p, t in bench.files.items()
    }
    assert hunks or files == bench.files
    code, output = bench.check(files)
    found = failures.count(output, code)
    assert found is not None, output
    assert (found == 0) == (code == 0)
    return found


def together(repairs: tuple[Hypothesis, ...]) -> bool:
    return not any(a.clashes(b.hunks) for a, b in itertools.combinations(repairs, 2))


def repairs(bench: Bench) -> tuple[tuple[Hypothesis, ...], tuple[Hypothesis, ...]]:
    """Repairs that lower the count on their own, and those that don't."""
    known = suspects({p: t for p, t in bench.files.items() if p.endswith(".py") and not bench.guarded(p)}).hypotheses
    baseline = counted(bench, ())
    right = tuple(each for each in known if counted(bench, (each,)) < baseline)
    return right, tuple(each for each in known if each not in right)


@pytest.mark.parametrize("task", EVERY)
def test_a_repository_has_the_same_commits_whatever_git_is_told(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_repository(task, tmp_path / "one")
    home = tmp_path / "home"
    (home / "hooks").mkdir(parents=True)
    (home / "hooks" / "post-checkout").write_text("#!/bin/sh\ntouch surprise\n")
    (home / "hooks" / "post-checkout").chmod(0o755)
    (home / ".gitconfig").write_text(
        f"[core]\n autocrlf = true\n hooksPath = {home}/hooks\n[init]\n defaultBranch = trunk\n"
        "[commit]\n gpgSign = true\n"
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    second = make_repository(task, tmp_path / "two")
    assert first.revision == second.revision == git(second.repository, "rev-parse", "HEAD").strip()
    assert git(second.repository, "status", "--porcelain") == ""
    assert not (second.repository / "surprise").exists()
    assert 8 <= len(git(second.repository, "log", "--format=%h").split()) <= 14
    assert len(set(git(second.repository, "log", "--format=%an").split("\n")) - {""}) >= 3


def test_a_task_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no practice task 'three': there are one, two and renamed:SEED"):
        make_repository("three", tmp_path / "x")
    with pytest.raises(ValueError, match="renamed:SEED"):
        make_repository("renamed:x", tmp_path / "x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        make_repository("one", tmp_path / "full")


def test_the_check_says_the_same_every_time(bench: Bench) -> None:
    code, output = bench.check(bench.files)
    assert code == 1
    # What was checked before may not have been laid out again.
    bench.lay(bench.files)
    environment = {"PATH": f"{bench.bin}:/usr/bin:/bin", "PYTHONHASHSEED": "77", "PYTHONDONTWRITEBYTECODE": "1"}
    again = subprocess.run(
        bench.task.check, shell=True, cwd=bench.task.repository, env=environment, capture_output=True, text=True
    )
    assert (again.returncode, again.stdout + again.stderr) == (code, output)
    lines = output.splitlines()
    assert len(lines) >= 4, "a line for each kind of broken invariant, and the closing one"
    assert sum(int(line.rpartition(":")[2]) for line in lines[:-1]) == int(lines[-1].split()[0])


def test_each_right_repair_helps_and_all_of_them_pass(bench: Bench) -> None:
    right, wrong = repairs(bench)
    assert 14 <= len(right) + len(wrong) <= 26, "plenty of suspects"
    assert len(wrong) >= 3 * len(right) - 3
    baseline = counted(bench, ())
    assert all(counted(bench, (each,)) >= baseline for each in wrong)
    places: dict[str, Hypothesis] = {}
    for each in right:
        places.setdefault(each.where, each)
    assert len(places) >= 3, "it takes several changes"
    chosen = tuple(places.values())
    for left_out in chosen:
        others = tuple(each for each in chosen if each is not left_out)
        assert 0 < counted(bench, others) < baseline
    assert counted(bench, chosen) == 0


@pytest.mark.soak
def test_whatever_else_is_repaired_right_ones_help_and_wrong_ones_do_not(bench: Bench) -> None:
    right, wrong = repairs(bench)
    for size in range(len(right) + 1):
        for some in filter(together, itertools.combinations(right, size)):
            count = counted(bench, some)
            for each in (*right, *wrong):
                if each not in some and together((*some, each)):
                    with_it = counted(bench, (*some, each))
                    assert with_it < count if each in right else with_it >= count, (each.id, [s.id for s in some])


BREAKING = {
    "waits for ever": "await asyncio.Event().wait()",
    "goes round in circles": "while True:\n            await asyncio.sleep(0)",
    "raises": "raise KeyError('gone')",
    "is cancelled": "raise asyncio.CancelledError",
    "answers nonsense": "return {1, 2}",
}


@pytest.mark.parametrize("how", BREAKING)
@pytest.mark.parametrize("task", TASKS)
def test_a_service_that_breaks_is_counted_and_nothing_hangs(task: str, how: str) -> None:
    bench = rehearsal.bench(task)
    path, line = {
        "one": ("teashop/stock.py", '        order, sku, quantity = body["order"], body["sku"], body["quantity"]\n'),
        "two": ("lab/wallet.py", '        member, cents = ask["member"], ask["cents"]\n'),
    }[task]
    text = bench.files[path]
    assert line in text
    text = text.replace(line, f"{line}        {BREAKING[how]}\n").replace('"""\n\n', '"""\n\nimport asyncio\n\n', 1)
    code, output = bench.check({**bench.files, path: text})
    found = failures.count(output, code)
    assert code == 1, output
    assert found is not None, output
    before = failures.count(bench.check(bench.files)[1], 1)
    assert before is not None
    assert found > 0.5 * before


def test_the_history_holds_the_regressions(bench: Bench) -> None:
    """Every file that is at fault was changed by a commit after the one that brought it, among innocent changes."""
    trees = [commit.tree for commit in source(bench.task.name).commits]
    versions = {path: len({tree[path] for tree in trees if path in tree}) for path in trees[-1]}
    right, _ = repairs(bench)
    at_fault = {path for each in right for path in each.paths}
    assert all(versions[path] > 1 for path in at_fault)
    assert {path for path, number in versions.items() if number > 1} - at_fault or bench.task.name == "two"
    for tree in trees:
        for path, text in tree.items():
            if path.endswith(".py"):
                compile(text, path, "exec")


def test_the_tests_of_the_first_task_pass(tmp_path: Path) -> None:
    made = make_repository("one", tmp_path / "r")
    done = subprocess.run(
        [sys.executable, "-B", "-m", "unittest"], cwd=made.repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Ran 2 tests" in done.stderr


def test_the_services_fail_for_real(tmp_path: Path) -> None:
    """Seven processes over TCP, under load."""
    made = make_repository("one", tmp_path / "r")
    base = free_ports(7)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {"PYTHONDONTWRITEBYTECODE": "1"}
    cluster = subprocess.Popen(
        [sys.executable, "-m", "teashop.cluster", "--base", str(base)],
        cwd=made.repository,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        load = subprocess.run(
            [sys.executable, "load.py", "--base", str(base)],
            cwd=made.repository,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
    finally:
        os.killpg(cluster.pid, signal.SIGTERM)
        try:
            cluster.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(cluster.pid, signal.SIGKILL)
            cluster.wait()
    counts = dict(line.rsplit(": ", 1) for line in load.stdout.splitlines() if ": " in line)
    assert int(counts["confirmed behind the customer's back"]) > 0, load.stdout + load.stderr
    assert int(counts["charged twice"]) > 0, load.stdout
    assert int(counts["sold more than there was"]) > 0, load.stdout


def free_ports(number: int) -> int:
    """The first of so many neighbouring ports that are free now."""
    for base in range(20_000 + os.getpid() % 20_000, 60_000, number):
        held = []
        try:
            for port in range(base, base + number):
                held += [socket.create_server(("127.0.0.1", port))]
            return base
        except OSError:
            continue
        finally:
            for each in held:
                each.close()
    raise AssertionError("no free ports")
