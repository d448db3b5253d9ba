"""The doctor: what is missing is said, with what to do, and nothing is changed by looking."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from app.cli import main
from app.doctor import Finding, Level, examine
from app.failure import Exit
from store.database import open_store
from store.home import Home

TASK = '[task]\ngoal = "mend it"\n[check]\ncommand = "{}"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with a commit."""
    for arguments in (
        ("init", "-q", "."),
        ("-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "Begin"),
    ):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    return tmp_path


def looked(folder: Path, **environ: str) -> dict[str, Finding]:
    """The findings by name; the worst where there are several."""
    given = {"PATH": os.environ["PATH"], "ANTHROPIC_API_KEY": "sk-secret", **environ}
    found: dict[str, Finding] = {}
    for finding in examine(Home(folder / "home"), given, folder / "multitrack.toml"):
        if finding.name not in found or list(Level).index(finding.level) > list(Level).index(found[finding.name].level):
            found[finding.name] = finding
    return found


def test_all_is_well(folder: Path) -> None:
    (folder / "multitrack.toml").write_text(TASK.format("git status"), encoding="utf-8")
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    found = looked(folder)
    assert {name: finding.level for name, finding in found.items() if finding.level is not Level.OK} == {}
    assert not (folder / "home").exists(), "looking makes nothing"
    assert "sk-secret" not in str(found)


def test_no_task_file_is_no_fault_and_no_key_only_a_warning(folder: Path) -> None:
    found = looked(folder, ANTHROPIC_API_KEY="", MULTITRACK_HOME=str(folder / "home"))
    assert found["task file"].level is Level.OK
    assert "multitrack init" in found["task file"].todo
    assert found["key"].level is Level.WARN


def test_with_a_task_file_a_key_is_needed(folder: Path) -> None:
    (folder / "multitrack.toml").write_text(TASK.format("git status"), encoding="utf-8")
    assert looked(folder, ANTHROPIC_API_KEY="", MULTITRACK_HOME=str(folder / "home"))["key"].level is Level.FAIL


def test_what_is_wrong_with_the_task(folder: Path) -> None:
    (folder / "multitrack.toml").write_text("[task]\n", encoding="utf-8")
    assert "task.goal: is missing" in looked(folder)["task file"].said
    (folder / "multitrack.toml").write_text(TASK.format("no-such-program -x"), encoding="utf-8")
    assert looked(folder)["check"].said == "there is no program no-such-program"
    for command in ("A=1 git x", "cd x && y", "./check.sh", "( true )"):
        (folder / "check.sh").write_text("", encoding="utf-8")
        (folder / "check.sh").chmod(0o755)
        (folder / "multitrack.toml").write_text(TASK.format(command), encoding="utf-8")
        assert looked(folder)["check"].level is Level.OK, command
    found = looked(folder)["repository"]
    assert (found.level, found.said[-8:]) == (Level.FAIL, "check.sh"), "it has uncommitted changes, as `run` will say"
    (folder / "check.sh").unlink()
    assert looked(folder)["repository"].level is Level.OK, "the task file itself may lie uncommitted"
    revision = TASK.format("git x").replace("[check]", 'revision = "nope"\n[check]')
    (folder / "multitrack.toml").write_text(revision, encoding="utf-8")
    assert looked(folder)["repository"].level is Level.FAIL


def test_a_folder_that_is_no_repository(folder: Path) -> None:
    (folder / ".git").rename(folder / "git")
    (folder / "multitrack.toml").write_text(TASK.format("git x"), encoding="utf-8")
    found = looked(folder)["repository"]
    assert (found.level, "is no Git repository" in found.said) == (Level.FAIL, True)
    subprocess.run(["git", "init", "-q", "."], cwd=folder, check=True)
    assert "has no commits" in looked(folder)["repository"].said


def test_what_cannot_be_looked_at_is_a_finding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "file").touch()
    (folder / "home").symlink_to(folder / "file" / "home")
    exists = Path.exists

    def denied(path: Path) -> bool:
        if path.name == "store.sqlite3":
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path)

    monkeypatch.setattr(Path, "exists", denied)
    found = looked(folder)
    assert (found["store"].level, "Permission denied" in found["store"].said) == (Level.FAIL, True)
    assert found["sandboxes"].level is Level.OK, "it looked on"


def test_no_git(folder: Path) -> None:
    (folder / "multitrack.toml").write_text(TASK.format("ls"), encoding="utf-8")
    (folder / "bin").mkdir()
    found = looked(folder, PATH=str(folder / "bin"))
    assert (found["git"].level, found["check"].level) == (Level.FAIL, Level.FAIL)


def test_a_home_that_others_can_read_or_that_is_a_file(folder: Path) -> None:
    (folder / "home").mkdir(mode=0o755)
    (folder / "home").chmod(0o755)
    assert looked(folder)["home"].todo == f"chmod 700 {folder / 'home'}"
    (folder / "home").rmdir()
    (folder / "home").write_text("", encoding="utf-8")
    assert looked(folder)["home"].level is Level.FAIL


def test_the_store_is_opened(folder: Path) -> None:
    home = Home(folder / "home").create()
    open_store(home.store).close()
    assert looked(folder)["store"].said.startswith(f"{home.store}, 0 runs, ")
    home.store.write_bytes(b"no database" * 1000)
    assert looked(folder)["store"].level is Level.FAIL


def test_exit_codes_and_json(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MULTITRACK_HOME", str(folder / "home"))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    assert main(["doctor"]) == Exit.FINE
    assert "Everything that is needed is here." in capsys.readouterr().out
    (folder / "multitrack.toml").write_text("[task]\nx = 1\n", encoding="utf-8")
    assert main(["doctor"]) == Exit.ENVIRONMENT
    told = capsys.readouterr().out
    assert "fail  task file" in told
    assert "sk-secret" not in told
    assert main(["doctor", "--json"]) == Exit.ENVIRONMENT
    levels = {item["check"]: item["level"] for item in json.loads(capsys.readouterr().out)}
    assert levels["task file"] == "fail"
    assert levels["git"] == "ok"
