"""The local sandbox: real clones, real processes, real kills."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.sandboxes import Sandbox, SandboxError, Sandboxes, SandboxesFactory
from backends.sandboxes.environment import sandbox_environment, search_path
from backends.sandboxes.local import LocalSandbox, LocalSandboxes
from backends.sandboxes.process import Excerpt
from tests.sandboxcontract import Mirror, SandboxContract, a_nap, repository, running, shell, until

OPERATOR = {**os.environ, "ANTHROPIC_API_KEY": "sk-secret", "GITHUB_TOKEN": "ghp-secret", "LC_TIME": "C", "TZ": "UTC"}


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Mirror:
    return repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture
async def sandboxes(tmp_path: Path, mirror: Mirror) -> AsyncIterator[LocalSandboxes]:
    made = LocalSandboxes("abcde", tmp_path / "sandboxes", mirror[0], OPERATOR)
    yield made
    await made.remove()


@pytest.fixture
async def sandbox(sandboxes: LocalSandboxes, mirror: Mirror) -> LocalSandbox:
    return await sandboxes.create("1.1", mirror[1])


@pytest.fixture
def nap() -> str:
    return a_nap()


class TestLocalSandbox(SandboxContract):
    """What every sandbox does."""

    def root(self, sandbox: Sandbox) -> str:
        return f"{sandbox.handle}/work"


def test_it_fits_the_protocol(tmp_path: Path) -> None:
    def factory(*, run: str, folder: Path, mirror: Path) -> Sandboxes:
        return LocalSandboxes(run, folder, mirror, {})

    kept: SandboxesFactory = factory
    assert kept(run="abcde", folder=tmp_path, mirror=tmp_path).wall is False


async def test_a_clone_has_its_own_objects(sandbox: LocalSandbox) -> None:
    assert await shell(sandbox, "cat .git/objects/info/alternates 2>/dev/null || echo none") == "none"


async def test_language_and_time_come_over_and_our_python_does_not(sandbox: LocalSandbox) -> None:
    names = {line.split("=")[0] for line in (await shell(sandbox, "env")).splitlines()}
    assert {"LC_TIME", "TZ"} <= names
    assert await shell(sandbox, "python3 -c 'import sys; print(sys.prefix)'") != sys.prefix


def test_a_python_is_found_without_our_own_environment(tmp_path: Path) -> None:
    assert str(Path(sys.prefix, "bin")) not in search_path({"PATH": f"{sys.prefix}/bin:/usr/bin"}).split(":")
    bare = search_path({"PATH": f"{sys.prefix}/bin:relative:{tmp_path}"})
    assert bare == f"{tmp_path}:{sys.base_prefix}/bin"


SECRETS = st.sampled_from(
    [
        "ANTHROPIC_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "GH_TOKEN",
        "SSH_AUTH_SOCK",
        "PIP_INDEX_URL",
        "HTTPS_PROXY",
        "PYTHONPATH",
        "VIRTUAL_ENV",
        "LD_PRELOAD",
        "GIT_DIR",
        "BASH_ENV",
    ]
)


@given(st.dictionaries(SECRETS | st.text(min_size=1).map("X_".__add__), st.text(), min_size=1))
def test_only_what_is_allowed_comes_over(environ: dict[str, str]) -> None:
    place = Path("/s")
    bare = sandbox_environment({}, run="r", name="n", home=place / "h", tmp=place / "t")
    assert sandbox_environment(environ, run="r", name="n", home=place / "h", tmp=place / "t") == bare


@given(st.lists(st.binary(max_size=300)), st.integers(0, 200))
def test_an_excerpt_is_the_ends_of_the_stream(pieces: list[bytes], cap: int) -> None:
    excerpt, whole = Excerpt(cap), b"".join(pieces)
    for piece in pieces:
        excerpt.add(piece)
    output, cut, left_out = excerpt.kept()
    if len(whole) <= cap:
        assert (output, left_out) == (whole, 0)
    else:
        assert output == whole[: cap // 2] + whole[len(whole) - (cap - cap // 2) :]
        assert (cut, left_out) == (cap // 2, len(whole) - cap)


async def test_close_removes_the_folder(sandbox: LocalSandbox) -> None:
    await shell(sandbox, "mkdir -p ro/in; touch ro/in/x; chmod 500 ro/in ro")
    await sandbox.close()
    assert not Path(sandbox.handle).exists()


async def test_the_next_engine_ends_what_a_killed_one_left(tmp_path: Path, mirror: Mirror, nap: str) -> None:
    engine = textwrap.dedent(f"""
        import asyncio, os
        from pathlib import Path
        from backends.sandboxes.local import LocalSandboxes

        async def main():
            sandboxes = LocalSandboxes("abcde", Path({str(tmp_path)!r}), Path({str(mirror[0])!r}), os.environ)
            sandbox = await sandboxes.create("1.1", {mirror[1]!r})
            await sandbox.write("kept.txt", b"kept")
            await sandbox.run("(setsid {nap} &); {nap} &", seconds=60)
            print(sandbox.handle, flush=True)
            await sandbox.run("{nap}", seconds=60)

        asyncio.run(main())
    """)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", engine, stdout=subprocess.PIPE, start_new_session=True, cwd=Path(__file__).parent.parent
    )
    assert process.stdout is not None
    handle = (await process.stdout.readline()).decode().strip()
    await until(lambda: running(f"-c {nap}") or running(nap))
    process.send_signal(signal.SIGKILL)
    await process.wait()
    assert running(nap)
    other = LocalSandboxes("abcdf", tmp_path, mirror[0], OPERATOR)
    assert await other.sweep() == 0
    heir = LocalSandboxes("abcde", tmp_path, mirror[0], OPERATOR)
    assert await heir.sweep() >= 2
    assert not running(nap)
    assert await heir.sweep() == 0
    sandbox = await heir.reopen("1.1", handle)
    assert await sandbox.read("kept.txt") == b"kept"
    assert b"kept.txt" in await sandbox.patch()
    await heir.remove()
    with pytest.raises(SandboxError, match="is gone"):
        await heir.reopen("1.1", handle)


async def test_only_a_whole_sandbox_is_reopened(sandboxes: LocalSandboxes, sandbox: LocalSandbox) -> None:
    assert (await sandboxes.reopen("1.1", sandbox.handle)).handle == sandbox.handle
    with pytest.raises(SandboxError):
        await sandboxes.reopen("1.1", f"{sandbox.handle}/../1.2")
    Path(sandbox.handle, "keep", "index").unlink()
    with pytest.raises(SandboxError):
        await sandboxes.reopen("1.1", sandbox.handle)


async def test_one_that_cannot_be_made_leaves_nothing(sandboxes: LocalSandboxes, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="checkout"):
        await sandboxes.create("1.1", "0" * 40)
    assert list((tmp_path / "sandboxes").iterdir()) == []


async def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, mirror: Mirror) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SandboxError, match="Not a directory"):
        await LocalSandboxes("abcde", tmp_path / "file", mirror[0], OPERATOR).create("1.1", mirror[1])


async def test_memory_can_be_limited(tmp_path: Path, mirror: Mirror) -> None:
    sandboxes = LocalSandboxes("abcde", tmp_path, mirror[0], OPERATOR, memory=256 << 20)
    sandbox = await sandboxes.create("1.1", mirror[1])
    done = await sandbox.run("python3 -c 'bytearray(512 << 20)'; ulimit -c", seconds=30)
    assert b"MemoryError" in done.output
    assert done.output.endswith(b"\n0\n")
    await sandboxes.remove()
