"""Engines that lack something, break off, or are full; and images that are built."""

import asyncio
import io
import json
import os
import secrets
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from app.doctor import _images
from backends.sandboxes import SandboxError, touched
from backends.sandboxes.docker import Host, readiness, ready
from backends.sandboxes.docker.image import LABEL_IMAGE, tag
from store.domain.docker import DockerSettings
from tests.dockerrig import IMAGE, SETTINGS, SecondEngine, engine, left, sandboxes_in, sandboxes_of, second_engine
from tests.sandboxcontract import Mirror, a_nap, repository, running, shell, until

pytestmark = engine()


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Mirror:
    return repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def api() -> Iterator[Any]:
    """The usual engine's, for what only tests do."""
    host = Host("", os.environ)
    yield host.client().api
    host.close()


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecondEngine]:
    with second_engine(tmp_path_factory.mktemp("engine") / "e", 800 << 20) as made:
        yield made


def levels(settings: DockerSettings) -> dict[str, tuple[str, str, str]]:
    """What `ready` finds, by name; the last of a name counts."""
    return {one.name: (one.level, one.said, one.todo) for one in ready(settings, os.environ)}


def test_what_is_there_is_ready(tmp_path: Path) -> None:
    found = levels(SETTINGS)
    assert found["image"][:2] == ("ok", found["image"][1])
    assert IMAGE in found["image"][1]
    assert "git version 2." in found["image"][1]
    assert found["disk limit"][0] == "ok"
    assert {level for level, _, _ in found.values()} <= {"ok", "warn"}
    file = tmp_path / "Dockerfile"
    file.write_text("FROM nosuch\n")
    assert levels(DockerSettings(dockerfile=str(file)))["image"] == ("ok", f"will be built from {file}", "")


def test_what_is_missing_is_said_with_what_to_do() -> None:
    nosuch = levels(replace(SETTINGS, image="multitrack/nosuch:1"))["image"]
    assert nosuch[:2] == ("fail", "the Docker engine has no image multitrack/nosuch:1")
    assert "docker pull multitrack/nosuch:1" in nosuch[2]
    assert levels(replace(SETTINGS, image=""))["image"][:2] == ("fail", "none is named")
    assert levels(DockerSettings(dockerfile="/nosuch/Dockerfile"))["image"][0] == "fail"
    runtime = levels(replace(SETTINGS, runtime="nosuch"))["runtime"]
    assert (runtime[0], runtime[1]) == ("fail", "the engine has no runtime nosuch")
    assert "runc" in runtime[2]
    assert levels(replace(SETTINGS, user="0:0"))["user"][0] == "fail"
    assert levels(replace(SETTINGS, memory=1 << 50))["limits"][0] == "warn"
    gone = levels(replace(SETTINGS, hosts=("unix:///nosuch/docker.sock",)))["docker"]
    assert gone[0] == "fail"
    assert "no Docker engine answers at unix:///nosuch/docker.sock" in gone[1]
    assert "start it" in gone[2]


def test_an_image_without_a_shell_or_git_is_told(api: Any) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("nothing"))
    change = [f"LABEL {LABEL_IMAGE}=test"]
    api.import_image_from_data(packed.getvalue(), repository="multitrack/test-empty", tag="1", changes=change)
    text = f"FROM {IMAGE}\nRUN rm /usr/bin/git\n".encode()
    for _ in api.build(fileobj=io.BytesIO(text), tag="multitrack/test-no-git:1", rm=True, forcerm=True):
        pass
    try:
        empty = levels(replace(SETTINGS, image="multitrack/test-empty:1"))["image"]
        assert empty[0] == "fail"
        assert "shell" in empty[1] + empty[2]
        bare = levels(replace(SETTINGS, image="multitrack/test-no-git:1"))["image"]
        assert bare[:2] == ("fail", "multitrack/test-no-git:1 has no Git")
    finally:
        api.remove_image("multitrack/test-empty:1", force=True)
        api.remove_image("multitrack/test-no-git:1", force=True)
    ours = {"label": ["multitrack.kind=probe", f"multitrack.engine={os.getpid()}"]}
    assert api.containers(all=True, filters=ours) == []
    assert not api.volumes(filters=ours)["Volumes"]


def test_what_looks_left_that_were_killed_is_removed_by_the_next_ones(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = secrets.token_hex(4)
    # Others may be looking at the same time.
    kind = f"multitrack.test.{mark}"
    monkeypatch.setattr(readiness, "LABEL_KIND", kind)
    labels = {kind: "probe"}
    api.create_container(IMAGE, ["true"], labels=labels)
    api.create_volume(f"multitrack-probe-{mark}", labels=labels)
    ours = {"label": kind}

    def there() -> int:
        return len(api.containers(all=True, filters=ours)) + len(api.volumes(filters=ours)["Volumes"] or ())

    levels(SETTINGS)
    assert there() == 2, "somebody may be looking just now"
    monkeypatch.setattr(readiness, "STALE", -5.0)
    levels(SETTINGS)
    assert there() == 0


async def test_an_image_is_built_and_the_steps_are_told(tmp_path: Path, mirror: Mirror, api: Any) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "tool.sh").write_text("#!/bin/sh\necho a tool\n")
    file = context / "Dockerfile"
    file.write_text(
        "ARG BASE\nFROM $BASE\nARG WORD\nCOPY tool.sh /usr/local/bin/tool\n"
        "RUN chmod 755 /usr/local/bin/tool && echo built with $WORD\n"
        'ENTRYPOINT ["false"]\nUSER nobody\nVOLUME /data\nHEALTHCHECK CMD false\n'
    )
    # As nobody has built it before.
    word = secrets.token_hex(8)
    image, arguments = f"multitrack/test-built:{word}", (("BASE", IMAGE), ("WORD", word))
    settings = replace(SETTINGS, image=image, dockerfile=str(file), build_arguments=arguments)
    lines: list[str] = []
    try:
        async with sandboxes_of(tmp_path / "home", mirror[0], settings) as made:
            await made.prepare(lines.append)
            assert any(line.startswith("Step 2/") for line in lines), lines
            assert f"built with {word}" in lines
            sandbox = await made.create("1.1", mirror[1])
            assert await shell(sandbox, "tool; id -u") == "a tool\n1000"
        # A second time nothing is left to do.
        assert levels(settings)["image"][0] == "ok"
        lines.clear()
        broken = sandboxes_in(tmp_path / "home", mirror[0], settings)
        for text, words in (
            (
                "RUN printf '\\033[31mbefore it breaks\\n' && false",
                "returned a non-zero code: 1. It printed last: before it",
            ),
            ("RUM true", "unknown instruction: RUM"),
            ("COPY nosuch /", "nosuch"),
            ("RUN rm /usr/bin/git", "the image built from .* has no Git: install it"),
            ("FROM multitrack/nosuch:1", "not there and can't be fetched: bring it there"),
        ):
            file.write_text(f"FROM {IMAGE}\n{text}\n")
            with pytest.raises(SandboxError, match=words) as caught:
                await broken.prepare(lines.append)
            assert str(file) in str(caught.value)
        assert "before it breaks" in lines
        assert not [line for line in lines if line.lstrip().startswith(("--->", "Removing"))]
        await broken.remove()
        assert left(tmp_path / "home") == []
    finally:
        api.remove_image(image, force=True)


async def test_an_engine_that_is_started_anew_takes_no_work_with_it(
    tmp_path: Path, second: SecondEngine, mirror: Mirror
) -> None:
    nap, host = a_nap(), Host(second.address, os.environ)
    async with sandboxes_of(tmp_path, mirror[0], host=host) as made:
        sandbox = await made.create("1.1", mirror[1])
        await sandbox.write("kept.txt", b"kept")
        program = await sandbox.stream(["cat"])
        work = asyncio.create_task(sandbox.run(nap, seconds=60))
        await until(lambda: running(nap))
        await asyncio.to_thread(second.kill)
        with pytest.raises(SandboxError, match="no Docker engine answers at unix://"):
            await work
        assert await program.output.read() == b""
        with pytest.raises(SandboxError, match="no Docker engine answers at unix://"):
            await program.ended()
        with pytest.raises(SandboxError, match="no Docker engine answers"):
            await made.create("1.2", mirror[1])
        await sandbox.interrupt()
        assert not running(nap)
        await asyncio.to_thread(second.start)
        with pytest.raises(SandboxError, match=r"the sandbox of 1\.1 is lost: its container"):
            await sandbox.run("true", seconds=60)
        await sandbox.interrupt()
        assert touched(await sandbox.patch()) == ("kept.txt",)
        again = await made.reopen("1.1", sandbox.handle)
        assert await shell(again, "cat kept.txt; git status --porcelain") == "kept?? kept.txt"
        other = await made.create("1.2", mirror[1])
        await other.apply(await again.patch())
        assert await other.read("kept.txt") == b"kept"


async def test_images_that_no_run_uses_are_removed_when_asked(
    tmp_path: Path, second: SecondEngine, mirror: Mirror, capsys: pytest.CaptureFixture[str]
) -> None:
    def prune(*options: str) -> dict[str, Any]:
        code = main(
            ["--home", str(tmp_path / "home"), "prune", "--images", "--host", second.address, "--json", *options]
        )
        told = capsys.readouterr()
        assert code == 0, told.err
        said: dict[str, Any] = json.loads(told.out)
        return said

    def ids(said: dict[str, Any]) -> set[str]:
        return {one["id"] for one in said["images"]}

    host, file = Host(second.address, os.environ), tmp_path / "Dockerfile"
    settings = replace(SETTINGS, image="", dockerfile=str(file))
    api: Any = host.client().api
    assert prune() == {"images": [], "freed": None}
    async with (
        sandboxes_of(tmp_path / "one", mirror[0], settings, host=host) as one,
        sandboxes_of(tmp_path / "other", mirror[0], replace(settings, install=("RUN true",)), host=host) as other,
    ):
        file.write_text(f"FROM {IMAGE}\nRUN head -c 3000000 /dev/urandom >/some\n")
        await one.prepare()
        replaced = api.inspect_image(tag(settings))["Id"]
        file.write_text(f"FROM {IMAGE}\nRUN head -c 5000000 /dev/urandom >/some\n")
        workspace = (await other.create("1.1", mirror[1])).handle
        agent = api.inspect_container(workspace)["Image"]
        await other.leave()
        # Of the one a mirror is there, of the other a workspace: both runs can go on.
        assert not ids(prune()) & {replaced, agent}
        await one.remove()
        assert ids(prune("--dry-run", "--older", "1h")) == set(), "they are new"
        assert ids(prune("--dry-run")) == {replaced}
        assert main(["prune", "--images", "--host", second.address, "--dry-run"]) == 0
        told = capsys.readouterr().out
        assert f"{replaced[7:19]} (replaced)" in told and "1 image, at least 3.0 MB." in told
        assert "1 other is used or newer." in told
        finding = _images(host)
        assert finding is not None and finding.said.startswith("2 images built for runs, at least ")
        assert finding.todo == f"`multitrack prune --images --host {second.address}` removes what no run uses"
        gone = prune()
        assert ids(gone) == {replaced} and gone["freed"] >= 3_000_000
        assert (await other.reopen("1.1", workspace)).handle == workspace
        await other.leave()
    name = api.inspect_image(agent)["RepoTags"][0]
    api.tag(name, "somebody/own", "1")
    assert agent not in ids(prune()), "it is somebody's now"
    api.remove_image("somebody/own:1")
    gone = prune()
    assert ids(gone) == {agent} and gone["freed"] >= 5_000_000
    assert [one["RepoTags"] for one in api.images()] == [[IMAGE]]
    host.close()


async def test_a_full_disk_is_said(tmp_path: Path, second: SecondEngine, mirror: Mirror) -> None:
    host = Host(second.address, os.environ)
    async with sandboxes_of(tmp_path, mirror[0], replace(SETTINGS, memory=1 << 30), host=host) as made:
        sandbox = await made.create("1.1", mirror[1])
        filled = await sandbox.run("head -c 900000000 /dev/zero > $TMPDIR/filling", seconds=60)
        assert b"No space left on device" in filled.output
        with pytest.raises((OSError, SandboxError), match=r"[Ss]pace"):
            await sandbox.write("b.txt", bytes(1 << 20))
        await shell(sandbox, "echo 'echo four' > b.txt || rm -f b.txt")
        with pytest.raises(SandboxError, match=r"disk|space"):
            await made.create("1.2", mirror[1])
        settings = replace(SETTINGS, hosts=(second.address,))
        found = [one for one in ready(settings, os.environ) if one.level == "fail"]
        assert found, "a full disk is no reason to start"
        assert any("disk" in one.said + one.todo for one in found), found
        # There is room in /tmp still, so what it did is not lost.
        assert touched(await sandbox.patch()) == ("b.txt",)
        await sandbox.close()
        assert [one for one in ready(settings, os.environ) if one.level == "fail"] == []
