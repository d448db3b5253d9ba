"""Nothing is left behind on an engine, and nothing is lost that a run can go on with."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from backends.sandboxes import SandboxError, touched
from backends.sandboxes.docker import DockerSandboxes, Host
from store.home import RunFolder
from store.lock import RunLock
from tests.dockerrig import RUN, engine, left, sandboxes_in, sandboxes_of
from tests.sandboxcontract import Mirror, a_nap, repository, running, shell, until

pytestmark = engine()


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Mirror:
    return repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture
async def sandboxes(tmp_path: Path, mirror: Mirror) -> AsyncIterator[DockerSandboxes]:
    async with sandboxes_of(tmp_path, mirror[0]) as made:
        yield made


@pytest.fixture(autouse=True)
async def nothing_is_left_by_a_test_that_fails(tmp_path: Path, mirror: Mirror) -> AsyncIterator[None]:
    yield
    await sandboxes_in(tmp_path, mirror[0]).remove()


async def killed_engine(home: Path, mirror: Mirror, nap: str) -> str:
    """Leave what a process leaves that is killed while it works in two sandboxes; the handle of the first."""
    program = textwrap.dedent(f"""
        import asyncio
        from pathlib import Path
        from tests.dockerrig import sandboxes_in

        async def main():
            sandboxes = sandboxes_in(Path({str(home)!r}), Path({str(mirror[0])!r}), run={RUN!r})
            one, two = await asyncio.gather(*(sandboxes.create(name, {mirror[1]!r}) for name in ("1.1", "1.2")))
            await one.write("kept.txt", b"kept")
            await two.run("(setsid {nap} &); {nap} &", seconds=60)
            print(one.handle, flush=True)
            await one.run("{nap}", seconds=60)

        asyncio.run(main())
    """)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=subprocess.PIPE, start_new_session=True, cwd=Path(__file__).parent.parent
    )
    assert process.stdout is not None
    handle = (await process.stdout.readline()).decode().strip()
    await until(lambda: running(nap))
    process.send_signal(signal.SIGKILL)
    await process.wait()
    assert running(nap)
    return handle


async def test_the_next_engine_removes_what_a_killed_one_left(tmp_path: Path, mirror: Mirror) -> None:
    nap = a_nap()
    handle = await killed_engine(tmp_path, mirror, nap)
    assert len(left(tmp_path)) == 5
    heir = sandboxes_in(tmp_path, mirror[0])
    assert await heir.sweep() == 2
    assert not running(nap)
    assert await heir.sweep() == 0
    # The workspaces are what the run goes on with.
    assert len(left(tmp_path)) == 2
    sandbox = await heir.reopen("1.1", handle)
    assert await sandbox.read("kept.txt") == b"kept"
    assert touched(await sandbox.patch()) == ("kept.txt",)
    assert await shell(sandbox, "git log --format=%s -1") == "one"
    await heir.remove()
    assert left(tmp_path) == []
    await heir.remove()
    with pytest.raises(SandboxError, match="is gone"):
        await heir.reopen("1.1", handle)


async def test_the_engine_of_another_run_removes_it_too(tmp_path: Path, mirror: Mirror) -> None:
    nap = a_nap()
    await killed_engine(tmp_path, mirror, nap)
    async with sandboxes_of(tmp_path, mirror[0], run="other") as other:
        assert await other.sweep() == 0
        assert not running(nap)
        # Somebody may resume that run.
        assert len(left(tmp_path)) == 2
        shutil.rmtree(RunFolder(tmp_path / "runs" / RUN).path)
        assert await other.sweep() == 0
        assert left(tmp_path) == []


async def test_what_lives_is_let_live(tmp_path: Path, sandboxes: DockerSandboxes, mirror: Mirror) -> None:
    nap = a_nap()
    sandbox = await sandboxes.create("1.1", mirror[1])
    await shell(sandbox, f"{nap} &")
    with RunLock(RunFolder(tmp_path / "runs" / RUN).lock) as lock:
        assert lock.acquire()
        async with sandboxes_of(tmp_path / "elsewhere", mirror[0]) as stranger:
            assert await stranger.sweep() == 0
        other = sandboxes_in(tmp_path, mirror[0], run="other")
        assert await other.sweep() == 0
        await other.remove()
    assert running(nap)
    assert await shell(sandbox, "cat b.txt") == "one\ntwo"


async def test_an_engine_that_leaves_leaves_the_workspaces_alone(
    tmp_path: Path, sandboxes: DockerSandboxes, mirror: Mirror
) -> None:
    nap = a_nap()
    sandbox = await sandboxes.create("1.1", mirror[1])
    await sandbox.write("kept.txt", b"kept")
    await shell(sandbox, f"{nap} &")
    await sandboxes.leave()
    assert not running(nap)
    assert left(tmp_path) == [sandbox.handle]
    again = await sandboxes.reopen("1.1", sandbox.handle)
    assert touched(await again.patch()) == ("kept.txt",)


async def test_one_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, sandboxes: DockerSandboxes, mirror: Mirror
) -> None:
    await sandboxes.prepare()
    before = left(tmp_path)
    with pytest.raises(SandboxError):
        await sandboxes.create("1.1", "0" * 40)
    assert left(tmp_path) == before
    for number in range(8):
        making = asyncio.create_task(sandboxes.create("1.1", mirror[1]))
        await asyncio.sleep(number / 20)
        making.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await making).close()
    assert left(tmp_path) == before


async def test_a_volume_of_somebody_elses_is_not_taken(
    tmp_path: Path, sandboxes: DockerSandboxes, mirror: Mirror
) -> None:
    sandbox = await sandboxes.create("1.1", mirror[1])
    name = sandbox.handle
    await sandbox.close()
    host = Host("", os.environ)
    api: Any = host.client().api
    api.create_volume(name)
    try:
        with pytest.raises(SandboxError, match="is gone"):
            await sandboxes.reopen("1.1", name)
    finally:
        api.remove_volume(name)
        host.close()
