"""Whether a run works in containers is settled before it starts: which, why, and what to do where it can't."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from app import containers
from app.cli import main
from app.containers import demo_settled, settled
from app.doctor import Finding, Level, examine
from app.failure import CommandError, Exit
from backends.sandboxes.docker.hosts import unreachable
from store.domain.docker import DockerSettings
from store.domain.task import Check, SandboxKind, Task
from store.home import Home
from tests.dockerrig import IMAGE, engine

NOWHERE = {"DOCKER_HOST": "unix:///nowhere/docker.sock", "PATH": os.environ["PATH"]}
TASK = Task("mend it", "/", Check("true"))
NAMED = replace(TASK, docker=DockerSettings(image=IMAGE))


def wrong(task: Task, environ: dict[str, str]) -> str:
    with pytest.raises(CommandError) as caught:
        settled(task, environ)
    assert caught.value.code == Exit.ENVIRONMENT
    return str(caught.value)


def test_without_an_image_it_is_local_and_no_engine_is_asked() -> None:
    task, said = settled(TASK, NOWHERE)
    assert (task.sandbox, said) == (
        SandboxKind.LOCAL,
        ["Sandboxes: local, which is no wall ([docker] names no image)."],
    )
    assert settled(replace(NAMED, sandbox=SandboxKind.LOCAL), NOWHERE)[1] == []


def test_without_an_engine_it_is_local_unless_containers_were_asked_for() -> None:
    task, said = settled(NAMED, NOWHERE)
    assert task.sandbox is SandboxKind.LOCAL
    assert "no Docker engine answers at unix:///nowhere/docker.sock (DOCKER_HOST): start it (`sudo" in said[0]
    told = wrong(replace(NAMED, sandbox=SandboxKind.DOCKER), NOWHERE)
    assert told.startswith("no Docker engine answers at unix:///nowhere/docker.sock (DOCKER_HOST): start it")


def test_an_agent_that_does_as_it_likes_is_not_let_loose_by_chance() -> None:
    for task in (replace(TASK, agent="claude-code"), replace(NAMED, agent="mine {goal}")):
        told = wrong(task, NOWHERE)
        assert told.startswith(f"{task.agent.split()[0]} does as it likes wherever it runs")
        assert 'sandbox.kind = "local"' in told
        assert settled(replace(task, sandbox=SandboxKind.LOCAL), NOWHERE)[0].sandbox is SandboxKind.LOCAL


def test_an_engine_that_we_may_not_use() -> None:
    # As the SDK wraps it; the tests may be root, whom no socket refuses.
    denied = PermissionError(13, "Permission denied")
    wrapped = RuntimeError("Error while fetching server API version")
    wrapped.__cause__ = denied
    assert "may not be used by you: join its group (`sudo usermod -aG docker $USER`" in unreachable("", wrapped)
    assert "tcp://there" in unreachable("tcp://there", wrapped)


def test_an_engine_elsewhere_is_not_to_be_started_here() -> None:
    told = wrong(replace(NAMED, sandbox=SandboxKind.DOCKER), {"DOCKER_HOST": "tcp://127.0.0.1:9"})
    assert told.startswith("no Docker engine answers at tcp://127.0.0.1:9 (DOCKER_HOST): see whether it runs there")
    told = wrong(replace(NAMED, sandbox=SandboxKind.DOCKER), {"DOCKER_HOST": "bogus"})
    assert told.startswith("no Docker engine answers at bogus (DOCKER_HOST): ")


@engine()
def test_an_image_that_is_there_makes_it_docker() -> None:
    task, said = settled(NAMED, dict(os.environ))
    assert task.sandbox is SandboxKind.DOCKER
    assert said[0] == f"Sandboxes: docker, {IMAGE}."
    two = replace(NAMED, docker=replace(NAMED.docker, hosts=("unix:///var/run/docker.sock", "unix:///nowhere/s")))
    task, said = settled(two, dict(os.environ))
    assert task.sandbox is SandboxKind.DOCKER
    assert said[1].startswith("Left out: no Docker engine answers at unix:///nowhere/s: start it")


@engine()
@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"image": "none/such:1"}, "has no image none/such:1: bring it there (`docker pull none/such:1`)"),
        ({"image": "", "dockerfile": "/nowhere/Dockerfile"}, "there is no Dockerfile /nowhere/Dockerfile"),
        ({"runtime": "kata-of-mine"}, "has no runtime kata-of-mine: install it"),
    ],
)
def test_what_is_wrong_is_said_before_a_run_starts(changes: dict[str, str], part: str) -> None:
    for kind in (SandboxKind.AUTO, SandboxKind.DOCKER):
        task = replace(NAMED, sandbox=kind, docker=replace(NAMED.docker, **changes))  # type: ignore[arg-type]
        assert part in wrong(task, dict(os.environ))


@engine()
def test_the_demo_is_built_on_what_is_there_and_fetches_nothing_unasked() -> None:
    environ = dict(os.environ)
    task, _ = demo_settled(TASK, "", (), environ)
    assert task.sandbox is SandboxKind.DOCKER
    (name, base), *_ = task.docker.build_arguments
    assert (name, base in containers.BASES) == ("BASE", True)
    asked = demo_settled(replace(TASK, sandbox=SandboxKind.DOCKER), "mine:1", (), environ)[0]
    assert asked.docker.build_arguments == (("BASE", "mine:1"),)
    assert demo_settled(replace(TASK, sandbox=SandboxKind.LOCAL), "", (), environ)[0].docker == DockerSettings()


@engine()
def test_a_demo_without_a_base_image_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "BASES", ("none/such:1",))
    task, said = demo_settled(TASK, "", (), dict(os.environ))
    assert task.sandbox is SandboxKind.LOCAL
    assert "`docker pull none/such:1`, or --sandbox docker" in said[0]


def test_a_demo_without_an_engine_is_local() -> None:
    task, said = demo_settled(TASK, "", (), NOWHERE)
    assert (task.sandbox, "no Docker engine answers" in said[0]) == (SandboxKind.LOCAL, True)


# The doctor.


def looked(folder: Path, table: str, **environ: str) -> list[Finding]:
    (folder / "multitrack.toml").write_text(f'[task]\ngoal = "mend it"\n[check]\ncommand = "true"\n{table}', "utf-8")
    given = {**os.environ, **environ}
    found = examine(Home(folder / "home"), given, folder / "multitrack.toml")
    return [one for one in found if one.name in {"docker", "sandboxes", "image", "runtime"}]


def test_doctor_without_an_engine(tmp_path: Path) -> None:
    docker, sandboxes = looked(tmp_path, "", **NOWHERE)
    assert (docker.level, sandboxes.level, "local" in sandboxes.said) == (Level.OK, Level.OK, True)
    docker, sandboxes = looked(tmp_path, '[docker]\nimage = "a"\n', **NOWHERE)
    assert (docker.level, sandboxes.level) == (Level.WARN, Level.WARN)
    docker, sandboxes = looked(tmp_path, '[sandbox]\nkind = "docker"\n[docker]\nimage = "a"\n', **NOWHERE)
    assert (docker.level, sandboxes.level) == (Level.FAIL, Level.FAIL)
    assert "start it" in docker.said
    (only,) = looked(tmp_path, '[sandbox]\nkind = "local"\n', **NOWHERE)
    assert (only.level, only.name) == (Level.OK, "sandboxes")


@engine()
def test_doctor_with_an_engine(tmp_path: Path) -> None:
    found = looked(tmp_path, f'[docker]\nimage = "{IMAGE}"\n')
    assert {one.level for one in found} == {Level.OK}
    assert any(one.name == "image" and "git version" in one.said for one in found)
    missing = [one for one in looked(tmp_path, '[docker]\nimage = "none/such:1"\n') if one.level is Level.FAIL]
    assert ["docker pull none/such:1" in one.todo for one in missing] == [True]


def test_run_says_it_and_starts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", NOWHERE["DOCKER_HOST"])
    monkeypatch.setenv("MULTITRACK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    (tmp_path / "multitrack.toml").write_text(
        '[task]\ngoal = "mend it"\n[check]\ncommand = "false"\n[sandbox]\nkind = "docker"\n[docker]\nimage = "a"\n',
        "utf-8",
    )
    assert main(["run", "--headless", str(tmp_path)]) == Exit.ENVIRONMENT
    assert "no Docker engine answers at unix:///nowhere/docker.sock (DOCKER_HOST): start it" in capsys.readouterr().err
    assert not (tmp_path / "home" / "runs").exists()
