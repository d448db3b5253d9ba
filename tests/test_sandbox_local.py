"""The local sandbox: real clones, real processes, real kills."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.sandboxes import Executed, Sandbox, SandboxError, Sandboxes, SandboxesFactory
from backends.sandboxes.environment import sandbox_environment, search_path
from backends.sandboxes.git import mirror_repository
from backends.sandboxes.local import LocalSandbox, LocalSandboxes
from backends.sandboxes.process import Excerpt
from store.domain.task import Dirt

OPERATOR = {**os.environ, "ANTHROPIC_API_KEY": "sk-secret", "GITHUB_TOKEN": "ghp-secret", "LC_TIME": "C", "TZ": "UTC"}


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("repository")
    source = folder / "source"
    (source / "pack").mkdir(parents=True)
    (source / "pack" / "a.py").write_text("a = 1\n")
    (source / "b.txt").write_text("one\ntwo\n")
    (source / ".gitignore").write_text("*.log\n")
    somebody = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "-A"], [*somebody, "commit", "-qm", "one"]):
        subprocess.run(["git", *arguments], cwd=source, check=True)
    return folder / "m.git", mirror_repository(source, folder / "m.git", "HEAD", Dirt.REFUSE)


@pytest.fixture
async def sandboxes(tmp_path: Path, mirror: tuple[Path, str]) -> AsyncIterator[LocalSandboxes]:
    made = LocalSandboxes("abcde", tmp_path / "sandboxes", mirror[0], OPERATOR)
    yield made
    await made.remove()


@pytest.fixture
async def sandbox(sandboxes: LocalSandboxes, mirror: tuple[Path, str]) -> LocalSandbox:
    return await sandboxes.create("1.1", mirror[1])


@pytest.fixture
def nap() -> str:
    """A command that lasts, told apart from every other by its length."""
    return f"sleep 300.{secrets.randbelow(10**12):012}"


def running(words: str) -> bool:
    listing = subprocess.run(["ps", "-A", "-ww", "-o", "stat=,args="], capture_output=True, text=True, check=True)
    return any(words in line and not line.startswith("Z") for line in listing.stdout.splitlines())


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


async def shell(sandbox: Sandbox, command: str) -> str:
    done = await sandbox.run(command, seconds=30)
    assert done.exit_code == 0, done.text()
    return done.text().strip()


def test_it_fits_the_protocol(tmp_path: Path) -> None:
    def factory(*, run: str, folder: Path, mirror: Path) -> Sandboxes:
        return LocalSandboxes(run, folder, mirror, {})

    kept: SandboxesFactory = factory
    assert kept(run="abcde", folder=tmp_path, mirror=tmp_path).wall is False


async def test_a_clone_is_independent(sandbox: LocalSandbox, mirror: tuple[Path, str]) -> None:
    assert await shell(sandbox, "git remote -v; git branch -a; git status --porcelain") == "* main"
    assert await shell(sandbox, "git rev-parse HEAD") == mirror[1]
    assert await shell(sandbox, "cat .git/objects/info/alternates 2>/dev/null || echo none") == "none"
    assert str(mirror[0]) not in await shell(sandbox, "cat .git/config; ls -R .git/logs 2>/dev/null || true")
    assert await shell(sandbox, "echo x > c; git add c; git commit -qm more && git log --format=%an -1") == "Subagent"


async def test_lanes_do_not_see_each_other(sandboxes: LocalSandboxes, mirror: tuple[Path, str]) -> None:
    one = await sandboxes.create("1.1", mirror[1])
    commit = await shell(one, "echo found > it; git add it; git commit -qm it; git rev-parse HEAD")
    blob = await shell(one, "git rev-parse HEAD:it")
    await one.patch()
    two = await sandboxes.create("1.2", mirror[1])
    for name in (commit, blob):
        assert (await two.run(f"git cat-file -e {name}", seconds=10)).exit_code != 0


async def test_the_environment_holds_no_secret(sandbox: LocalSandbox) -> None:
    shown = await shell(sandbox, "env")
    assert "secret" not in shown
    assert "PYTHONPATH" not in shown
    assert "VIRTUAL_ENV" not in shown
    names = {line.split("=")[0] for line in shown.splitlines()}
    assert {"PATH", "HOME", "TMPDIR", "TERM", "LC_TIME", "TZ", "MULTITRACK_SANDBOX"} <= names
    assert await shell(sandbox, 'cd; pwd; cd "$TMPDIR"; pwd') == f"{sandbox.handle}/home\n{sandbox.handle}/tmp"
    assert await shell(sandbox, "python3 -c 'import sys; print(sys.prefix)'") != sys.prefix
    assert await shell(sandbox, "cat; git config --list --show-scope | grep -v ^local || true") == ""


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


async def test_exit_codes_are_as_they_are(sandbox: LocalSandbox) -> None:
    for command, code in (("exit 3", 3), ("kill -TERM $$", 143), ("nosuch-command", 127), ("kill -9 $$", 137)):
        assert (await sandbox.run(command, seconds=20)).exit_code == code


async def test_both_streams_come_back_in_order(sandbox: LocalSandbox) -> None:
    assert await shell(sandbox, "echo a; echo b >&2; echo c") == "a\nb\nc"


async def test_long_output_is_cut_in_the_middle(sandbox: LocalSandbox) -> None:
    done = await sandbox.run("echo first; seq 1 200000; echo last", seconds=30, cap=1000)
    assert len(done.output) == 1000
    assert done.output.startswith(b"first\n1\n")
    assert done.output.endswith(b"200000\nlast\n")
    assert f"\n… {done.left_out} bytes left out …\n" in done.text()
    assert done.left_out == len(b"first\nlast\n") + sum(len(str(n)) + 1 for n in range(1, 200001)) - 1000


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


async def test_endless_output_ends_with_its_time(sandbox: LocalSandbox) -> None:
    done = await sandbox.run("yes", seconds=1, cap=100)
    assert done.timed_out
    assert len(done.output) == 100
    assert done.left_out > 0


async def test_time_out_kills_the_group_and_who_has_left_it(sandbox: LocalSandbox, nap: str) -> None:
    done = await sandbox.run(f"echo on; (setsid {nap} &) ; {nap} & {nap}", seconds=1.5)
    assert (done.exit_code, done.output) == (None, b"on\n")
    assert not running(nap)


async def test_a_server_left_in_the_background_lives_and_may_print(sandbox: LocalSandbox, nap: str) -> None:
    done = await sandbox.run(f"(while :; do echo noise; sleep 0.01; done) & {nap} & echo started", seconds=20)
    assert done.exit_code == 0
    assert b"started" in done.output
    assert running(nap)
    await sandbox.run("exit 1", seconds=20)
    assert running(nap)
    await sandbox.interrupt()
    assert not running(nap)
    assert await sandbox.read("b.txt") == b"one\ntwo\n"


async def test_cancelled_it_kills(sandbox: LocalSandbox, nap: str) -> None:
    task = asyncio.create_task(sandbox.run(f"setsid {nap} & {nap}", seconds=60))
    await until(lambda: running(nap))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not running(nap)


async def test_cancelled_while_it_starts_it_kills(sandbox: LocalSandbox, nap: str) -> None:
    for turns in range(12):
        task = asyncio.create_task(sandbox.run(f"setsid {nap} & {nap}", seconds=60))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not running(nap)


async def test_close_leaves_nothing(sandboxes: LocalSandboxes, mirror: tuple[Path, str], nap: str) -> None:
    sandbox = await sandboxes.create("1.2", mirror[1])
    await shell(sandbox, f"{nap} & mkdir -p ro/in; touch ro/in/x; chmod 500 ro/in ro; mkfifo pipe")
    await sandbox.close()
    assert not running(nap)
    assert not Path(sandbox.handle).exists()
    await sandbox.close()
    with pytest.raises(SandboxError, match="is gone"):
        await sandbox.run("true", seconds=5)
    with pytest.raises(SandboxError, match="is gone"):
        await sandbox.patch()


async def test_one_of_the_same_name_takes_the_place_of_the_older(
    sandboxes: LocalSandboxes, sandbox: LocalSandbox, mirror: tuple[Path, str], nap: str
) -> None:
    await shell(sandbox, f"echo old > old.txt; {nap} &")
    again = await sandboxes.create("1.1", mirror[1])
    assert not running(nap)
    assert await shell(again, "ls") == "b.txt\npack"


async def test_sandboxes_are_told_apart_when_they_are_ended(
    sandboxes: LocalSandboxes, mirror: tuple[Path, str], nap: str
) -> None:
    one, eleven = await sandboxes.create("1.1", mirror[1]), await sandboxes.create("1.11", mirror[1])
    await shell(eleven, f"{nap} &")
    await one.close()
    assert running(nap)
    await eleven.close()
    assert not running(nap)


async def test_the_next_engine_ends_what_a_killed_one_left(tmp_path: Path, mirror: tuple[Path, str], nap: str) -> None:
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
    for name in ("", ".", "..", "a/b", "a\0b"):
        with pytest.raises(ValueError, match="no name"):
            await sandboxes.create(name, "HEAD")


async def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, mirror: tuple[Path, str]) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SandboxError, match="Not a directory"):
        await LocalSandboxes("abcde", tmp_path / "file", mirror[0], OPERATOR).create("1.1", mirror[1])


async def test_files_stay_inside(sandbox: LocalSandbox, tmp_path: Path) -> None:
    await sandbox.write("new/deep/file", b"\0bytes")
    assert await sandbox.read("new/deep/file") == b"\0bytes"
    assert await sandbox.read(str(Path(sandbox.handle, "work", "b.txt"))) == b"one\ntwo\n"
    await shell(sandbox, "ln -s /etc/passwd out; ln -s / root; ln -s b.txt in; ln -s self self; mkfifo pipe")
    assert await sandbox.read("in") == b"one\ntwo\n"
    for path in ("../keep/revision", "/etc/passwd", "out", "root/etc/passwd", "new/../../home", "self", "a\0b"):
        with pytest.raises(ValueError):
            await sandbox.read(path)
        with pytest.raises(ValueError):
            await sandbox.write(path, b"x")
    for path in ("nosuch", "pack", "pipe", ""):
        with pytest.raises(OSError):
            await sandbox.read(path)
    for path in ("pack", "pipe", "b.txt/under"):
        with pytest.raises(OSError):
            await sandbox.write(path, b"x")


async def test_writing_keeps_the_mode(sandbox: LocalSandbox) -> None:
    await shell(sandbox, "echo 'echo hi' > script; chmod 755 script")
    await sandbox.write("script", b"echo ho\n")
    assert await shell(sandbox, "./script") == "ho"


async def test_odd_commands_are_answered(sandbox: LocalSandbox) -> None:
    assert await sandbox.run("echo \0", seconds=5) == Executed(126, b"the command holds a NUL character", 0, 0.0)
    assert (await sandbox.run("true " + "x" * 200_000, seconds=5)).exit_code == 126


async def test_memory_can_be_limited(tmp_path: Path, mirror: tuple[Path, str]) -> None:
    sandboxes = LocalSandboxes("abcde", tmp_path, mirror[0], OPERATOR, memory=256 << 20)
    sandbox = await sandboxes.create("1.1", mirror[1])
    done = await sandbox.run("python3 -c 'bytearray(512 << 20)'; ulimit -c", seconds=30)
    assert b"MemoryError" in done.output
    assert done.output.endswith(b"\n0\n")
    await sandboxes.remove()
