"""The command line as a whole, and the commands that start something: every mistake has its sentence and its code."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from app.actions import ACTIONS
from app.cli import build_parser, main
from app.engines import EngineError
from app.failure import Exit
from app.taskfile import load
from store.database import Store
from store.home import Home
from tests.shop import RUN, Here, here, nowhere

__all__ = ["here", "nowhere"]


# The whole.


def test_every_action_has_its_command() -> None:
    parser, commands = build_parser()
    meant = {"RUN": RUN, "SUBAGENT": "1.2", "FIELD": "text", "WORD": "possible", "CLAIM": "goal"}
    for action in ACTIONS:
        words = [meant.get(word, word) for word in action.twin.split()]
        if words[1:] not in ([], ["--help"]):
            assert parser.parse_args(words[1:]).command in commands, action.twin


def test_help_names_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == Exit.FINE
    told = capsys.readouterr().out
    _, commands = build_parser()
    for command in commands.values():
        assert f"  {command.name:<14}{command.help}" in told
        assert len(f"  {command.name:<14}{command.help}") <= 100
        assert main([command.name, "--help"]) == Exit.FINE
        assert command.help in " ".join(capsys.readouterr().out.split())
    documented = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    for code in Exit:
        assert f"{code:<5}{code.meaning}" in told
        assert f"| {code} | {code.meaning} |" in documented


def test_without_a_terminal_the_app_does_not_open(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == Exit.USAGE
    told = capsys.readouterr()
    assert "recording studio" in told.out
    assert "needs a terminal" in told.err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["rnus"], "did you mean `runs`?"),
        (["search", '"-"'], "has no letter and no digit to look for"),
        (["search", "--limit", "0", "x"], "'0' is no whole number from 1 to 10,000"),
        (["demo", "--seed", "x"], "'x' is no whole number from 0 on"),
        (["demo", "--pace", "nan"], "'nan' is no number of words a second"),
        (["xyzzy"], "there is no command `xyzzy`"),
        (["watch"], "RUN"),
        (["runs", "--jsn"], "--jsn"),
        (["demo", "--generations", "0"], "number from 1 to 100"),
        (["demo", "--no-memory", "--shuffled-memory"], "not allowed with"),
        (["run", "--uncommitted", "eat"], "eat"),
    ],
)
def test_a_mistake_in_the_command_is_one_sentence(
    nowhere: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], part: str
) -> None:
    assert main(arguments) == Exit.USAGE
    told = capsys.readouterr()
    assert told.out == ""
    assert part in told.err
    assert told.err.startswith("multitrack: ")
    assert told.err.count("\n") == 1


def test_global_options_may_stand_before_or_after_the_command(
    nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["--home", "else", "doctor", "--json"], ["doctor", "--json", "--home", "else"]):
        main(arguments)
        said = {item["check"]: item["said"] for item in json.loads(capsys.readouterr().out)}
        assert said["home"] == f"{nowhere / 'work' / 'else'} (will be made)"
    main(["--store", "my.db", "doctor", "--json"])
    said = {item["check"]: item["said"] for item in json.loads(capsys.readouterr().out)}
    assert said["store"] == f"{nowhere / 'work' / 'my.db'} (will be made)"


def test_a_fault_of_our_own_is_a_sentence_and_with_debug_a_traceback(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(store: Store) -> None:
        raise ZeroDivisionError("nine\nlines")

    monkeypatch.setattr("store.runs.runs", fault)
    assert here("runs") == (
        Exit.FAULT,
        "",
        "multitrack: a fault of its own: ZeroDivisionError: nine. With --debug it says where.\n",
    )
    with pytest.raises(ZeroDivisionError):
        main(["--debug", "runs"])
    monkeypatch.setenv("MULTITRACK_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["runs"])


def test_a_damaged_store_is_the_stores_problem(here: Here) -> None:
    here.home.store.write_bytes(b"this is no database" * 1000)
    for suffix in ("-wal", "-shm"):
        here.home.store.with_name(here.home.store.name + suffix).unlink(missing_ok=True)
    code, out, err = here("runs")
    assert (code, out) == (Exit.STORE, "")
    assert str(here.home.store) in err


def test_interrupted(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(store: Store) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("store.runs.runs", interrupt)
    assert here("runs") == (Exit.INTERRUPTED, "", "interrupted\n")


def test_a_reader_that_goes_away_is_no_error(here: Here) -> None:
    program = [sys.executable, "-P", "-E", "-m", "app", "--home", str(here.home.root), "watch", RUN, "--json"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(program, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (Exit.PIPE, "")


# Starting.


def test_a_run_needs_a_task_file_and_a_key(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run"]) == Exit.USAGE
    assert "multitrack init" in capsys.readouterr().err
    task = Path("multitrack.toml")
    task.write_text("[task]\n", encoding="utf-8")
    assert main(["run"]) == Exit.USAGE
    assert "multitrack.toml:1: task.goal: is missing" in capsys.readouterr().err
    task.write_text('[task]\ngoal = "a"\n[check]\ncommand = "false"\n', encoding="utf-8")
    assert main(["run"]) == Exit.ENVIRONMENT
    assert "ANTHROPIC_API_KEY" in capsys.readouterr().err
    assert not (nowhere / "home").exists(), "a clear word before anything starts"


def test_what_a_run_may_cost_is_said_before_it_starts(
    nowhere: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "key")
    Path("multitrack.toml").write_text('[task]\ngoal = "a"\n[check]\ncommand = "false"\n', encoding="utf-8")
    assert main(["run", "--headless"]) == Exit.USAGE, "this folder is no repository"
    assert "may use" not in capsys.readouterr().err
    for arguments in (
        ["init", "-q"],
        ["add", "."],
        [*["-c", "user.name=A", "-c", "user.email=a@b"], "commit", "-qm", "a"],
    ):
        subprocess.run(["git", *arguments], check=True)

    def start(home: Home, run: str, environ: Mapping[str, str]) -> int:
        assert "This run may use: at most $100.00, 50,000,000 tokens, 5 h" in capsys.readouterr().err
        raise EngineError("and so it was")

    monkeypatch.setattr("app.engines.start", start)
    assert main(["run", "--headless"]) == Exit.ENVIRONMENT
    assert "and so it was" in capsys.readouterr().err


@pytest.mark.parametrize("soon", [False, True])
def test_a_run_goes_on_when_who_follows_it_is_interrupted(
    soon: bool, nowhere: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(home: Home, run: str, environ: Mapping[str, str]) -> int:
        assert "ANTHROPIC_API_KEY" not in environ, "the scripted model needs none"
        if soon:
            raise KeyboardInterrupt  # while the engine begins
        return 1

    def interrupt(home: Home, run: str, *, json: bool) -> int:
        raise KeyboardInterrupt

    monkeypatch.setenv("ANTHROPIC_API_KEY", "key")
    monkeypatch.setattr("app.engines.start", start)
    monkeypatch.setattr("app.follow.follow", interrupt)
    assert main(["demo", "--sandbox", "local", "--headless"]) == Exit.INTERRUPTED
    told = capsys.readouterr().err
    run = json.loads((main(["runs", "--json"]), capsys.readouterr().out)[1])[0]["run"]
    assert f"Run {run} goes on. `multitrack watch {run}` follows it, `multitrack stop {run}` ends it." in told
    assert (nowhere / "home").stat().st_mode & 0o777 == 0o700


def test_there_is_no_such_practice_bug(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--headless", "--practice", "nine"]) == Exit.USAGE
    assert "there are one, two" in capsys.readouterr().err


def test_init_writes_a_file_once(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("Makefile").write_text("test:\n\tfalse\n", encoding="utf-8")
    assert main(["init", "--goal", "mend it"]) == Exit.FINE
    assert "make test" in capsys.readouterr().out
    text = Path("multitrack.toml").read_text(encoding="utf-8")
    assert main(["init", "--goal", "other"]) == Exit.USAGE
    assert "stays as it is" in capsys.readouterr().err
    assert Path("multitrack.toml").read_text(encoding="utf-8") == text
    assert main(["init", "else.toml", "--check", "true"]) == Exit.FINE
    assert 'command = "true"' in Path("else.toml").read_text(encoding="utf-8")


def test_init_in_a_folder_of_a_repository_and_in_none(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = nowhere / "tasks" / "first"
    folder.mkdir(parents=True)
    assert main(["init", str(folder)]) == Exit.FINE
    assert "in no Git repository" in capsys.readouterr().out
    (nowhere / ".git").mkdir()
    (nowhere / "check.sh").touch()
    assert main(["init", str(folder / "task.toml"), "--goal", "g", "--check", "sh ./check.sh x"]) == Exit.FINE
    assert "in no Git repository" not in capsys.readouterr().out
    task = load(folder / "task.toml")
    assert task.repository == str(nowhere)
    assert task.check.protected == ("/check.sh",), "what decides is not for a patch to change"
