"""What every kind of sandbox has to do, as tests: each kind's module inherits them.

It brings the fixtures `mirror` (of `repository`), `sandboxes`, and `sandbox` named 1.1, and says in `root`
where the clone lies for who works in it.
"""

import asyncio
import secrets
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.sandboxes import Executed, Sandbox, SandboxError, Sandboxes, mirror_repository, touched
from store.domain.task import Dirt

Mirror = tuple[Path, str]


def repository(folder: Path) -> tuple[Path, str]:
    """A mirror of a small repository, and its revision."""
    source = folder / "source"
    (source / "pack").mkdir(parents=True)
    (source / "pack" / "a.py").write_text("a = 1\n")
    (source / "b.txt").write_text("one\ntwo\n")
    (source / ".gitignore").write_text("*.log\n")
    somebody = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "-A"], [*somebody, "commit", "-qm", "one"]):
        subprocess.run(["git", *arguments], cwd=source, check=True)
    return folder / "m.git", mirror_repository(source, folder / "m.git", "HEAD", Dirt.REFUSE)


def a_nap() -> str:
    """A command that lasts, told apart from every other by its length."""
    return f"sleep 300.{secrets.randbelow(10**12):012}"


def running(words: str) -> bool:
    """Whether a process of this machine, or of a container on it, has these words in its command."""
    listing = subprocess.run(["ps", "-A", "-ww", "-o", "stat=,args="], capture_output=True, text=True, check=True)
    return any(words in line and not line.startswith("Z") for line in listing.stdout.splitlines())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


async def shell(sandbox: Sandbox, command: str) -> str:
    """What a command that goes well prints."""
    done = await sandbox.run(command, seconds=60)
    assert done.exit_code == 0, done.text()
    return done.text().strip()


class SandboxContract:
    """The tests. `run` is what the run is called."""

    run = "abcde"

    @pytest.fixture
    def nap(self) -> str:
        return a_nap()

    def root(self, sandbox: Sandbox) -> str:
        """The clone's folder, as its programs know it."""
        raise NotImplementedError

    async def test_a_clone_is_independent(self, sandbox: Sandbox, mirror: Mirror) -> None:
        assert await shell(sandbox, "git remote -v; git branch -a; git status --porcelain") == "* main"
        assert await shell(sandbox, "git rev-parse HEAD") == mirror[1]
        assert str(mirror[0]) not in await shell(sandbox, "cat .git/config; ls -R .git/logs 2>/dev/null || true")
        assert (
            await shell(sandbox, "echo x > c; git add c; git commit -qm more && git log --format=%an -1") == "Subagent"
        )
        assert await shell(sandbox, "pwd") == self.root(sandbox)

    async def test_lanes_do_not_see_each_other(self, sandbox: Sandbox, sandboxes: Sandboxes, mirror: Mirror) -> None:
        commit = await shell(sandbox, "echo found > it; git add it; git commit -qm it; git rev-parse HEAD")
        blob = await shell(sandbox, "git rev-parse HEAD:it")
        await sandbox.patch()
        two = await sandboxes.create("1.2", mirror[1])
        for name in (commit, blob):
            assert (await two.run(f"git cat-file -e {name}", seconds=60)).exit_code != 0

    async def test_the_environment_holds_no_secret(self, sandbox: Sandbox) -> None:
        shown = await shell(sandbox, "env")
        assert "secret" not in shown
        assert "PYTHONPATH" not in shown
        assert "VIRTUAL_ENV" not in shown
        names = {line.split("=")[0] for line in shown.splitlines()}
        assert {"PATH", "HOME", "TMPDIR", "TERM", "MULTITRACK_SANDBOX"} <= names
        above = str(Path(self.root(sandbox)).parent)
        assert (
            await shell(sandbox, 'cd; pwd; cd "$TMPDIR"; pwd; touch "$HOME/x" "$TMPDIR/x"')
            == f"{above}/home\n{above}/tmp"
        )
        assert await shell(sandbox, "cat; git config --list --show-scope | grep -v ^local || true") == ""

    async def test_a_command_can_be_given_more(self, sandbox: Sandbox) -> None:
        given = {"MORE": "a b\n'\"", "MULTITRACK_SANDBOX": "another"}
        done = await sandbox.run('echo "$MORE"; echo "$MULTITRACK_SANDBOX"', seconds=60, environment=given)
        assert done.text() == f"a b\n'\"\n{self.run}.1.1\n"

    async def test_exit_codes_are_as_they_are(self, sandbox: Sandbox) -> None:
        for command, code in (("exit 3", 3), ("kill -TERM $$", 143), ("nosuch-command", 127), ("kill -9 $$", 137)):
            assert (await sandbox.run(command, seconds=60)).exit_code == code

    async def test_both_streams_come_back_in_order(self, sandbox: Sandbox) -> None:
        assert await shell(sandbox, "echo a; echo b >&2; echo c") == "a\nb\nc"

    async def test_long_output_is_cut_in_the_middle(self, sandbox: Sandbox) -> None:
        done = await sandbox.run("echo first; seq 1 200000; echo last", seconds=60, cap=1000)
        assert len(done.output) == 1000
        assert done.output.startswith(b"first\n1\n")
        assert done.output.endswith(b"200000\nlast\n")
        assert f"\n… {done.left_out} bytes left out …\n" in done.text()
        assert done.left_out == len(b"first\nlast\n") + sum(len(str(n)) + 1 for n in range(1, 200001)) - 1000

    async def test_endless_output_ends_with_its_time(self, sandbox: Sandbox) -> None:
        done = await sandbox.run("yes", seconds=1, cap=100)
        assert done.timed_out
        assert len(done.output) == 100
        assert done.left_out > 0

    async def test_time_out_kills_the_group_and_who_has_left_it(self, sandbox: Sandbox, nap: str) -> None:
        done = await sandbox.run(f"echo on; (setsid {nap} &) ; {nap} & {nap}", seconds=1.5)
        assert (done.exit_code, done.output) == (None, b"on\n")
        assert not running(nap)

    async def test_a_server_left_in_the_background_lives_and_may_print(self, sandbox: Sandbox, nap: str) -> None:
        done = await sandbox.run(f"(while :; do echo noise; sleep 0.01; done) & {nap} & echo started", seconds=60)
        assert done.exit_code == 0
        assert b"started" in done.output
        assert running(nap)
        await sandbox.run("exit 1", seconds=60)
        noise = await shell(sandbox, "sleep 0.2; for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; done; echo")
        assert running(nap)
        assert "noise" in noise
        await sandbox.interrupt()
        assert not running(nap)
        assert await sandbox.read("b.txt") == b"one\ntwo\n"

    async def test_cancelled_it_kills(self, sandbox: Sandbox, nap: str) -> None:
        task = asyncio.create_task(sandbox.run(f"setsid {nap} & {nap}", seconds=60))
        await until(lambda: running(nap))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not running(nap)

    async def test_cancelled_while_it_starts_it_kills(self, sandbox: Sandbox, nap: str) -> None:
        for turns in range(12):
            task = asyncio.create_task(sandbox.run(f"setsid {nap} & {nap}", seconds=60))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not running(nap)

    async def test_close_leaves_nothing(self, sandbox: Sandbox, nap: str) -> None:
        await shell(sandbox, f"{nap} & mkdir -p ro/in; touch ro/in/x; chmod 500 ro/in ro; mkfifo pipe")
        await sandbox.close()
        assert not running(nap)
        await sandbox.close()
        with pytest.raises(SandboxError, match="is gone"):
            await sandbox.run("true", seconds=5)
        with pytest.raises(SandboxError, match="is gone"):
            await sandbox.patch()

    async def test_one_of_the_same_name_takes_the_place_of_the_older(
        self, sandboxes: Sandboxes, sandbox: Sandbox, mirror: Mirror, nap: str
    ) -> None:
        await shell(sandbox, f"echo old > old.txt; {nap} &")
        again = await sandboxes.create("1.1", mirror[1])
        assert not running(nap)
        assert await shell(again, "ls") == "b.txt\npack"

    async def test_sandboxes_are_told_apart_when_they_are_ended(
        self, sandboxes: Sandboxes, sandbox: Sandbox, mirror: Mirror, nap: str
    ) -> None:
        eleven = await sandboxes.create("1.11", mirror[1])
        await shell(eleven, f"{nap} &")
        await sandbox.close()
        assert running(nap)
        await eleven.close()
        assert not running(nap)

    async def test_only_what_it_made_is_reopened(self, sandboxes: Sandboxes, sandbox: Sandbox) -> None:
        await sandbox.write("kept.txt", b"kept")
        again = await sandboxes.reopen("1.1", sandbox.handle)
        assert (again.handle, await again.read("kept.txt")) == (sandbox.handle, b"kept")
        assert touched(await again.patch()) == ("kept.txt",)
        with pytest.raises(SandboxError, match="gone"):
            await sandboxes.reopen("1.1", f"{sandbox.handle}/../1.2")
        with pytest.raises(SandboxError, match="gone"):
            await sandboxes.reopen("1.2", sandbox.handle)
        await sandbox.close()
        with pytest.raises(SandboxError, match="gone"):
            await sandboxes.reopen("1.1", sandbox.handle)

    async def test_names_are_plain(self, sandboxes: Sandboxes) -> None:
        for name in ("", ".", "..", "a/b", "a\0b"):
            with pytest.raises(ValueError, match="no name"):
                await sandboxes.create(name, "HEAD")

    async def test_files_stay_inside(self, sandbox: Sandbox) -> None:
        await sandbox.write("new/deep/file", b"\0bytes")
        assert await sandbox.read("new/deep/file") == b"\0bytes"
        assert await sandbox.read(f"{self.root(sandbox)}/b.txt") == b"one\ntwo\n"
        await shell(sandbox, "ln -s /etc/passwd out; ln -s / root; ln -s b.txt in; ln -s self self; mkfifo pipe")
        assert await sandbox.read("in") == b"one\ntwo\n"
        outside = ("../keep/revision", "/etc/passwd", "out", "root/etc/passwd", "new/../../home", "self", "a\0b")
        for path in outside:
            with pytest.raises(ValueError):
                await sandbox.read(path)
            with pytest.raises(ValueError):
                await sandbox.write(path, b"x")
        for path in ("nosuch", "pack", "pipe", ""):
            with pytest.raises(OSError):
                await sandbox.read(path)
        with pytest.raises(FileNotFoundError):
            await sandbox.read("nosuch/file")
        for path in ("pack", "pipe", "b.txt/under"):
            with pytest.raises(OSError):
                await sandbox.write(path, b"x")

    async def test_odd_names_are_names(self, sandbox: Sandbox) -> None:
        for name in ("-n", "a b/'\"$x`", "new\nline\n", "ünï", "*"):
            await sandbox.write(name, name.encode())
            assert await sandbox.read(name) == name.encode()
        assert len(touched(await sandbox.patch())) == 5

    async def test_writing_keeps_the_mode(self, sandbox: Sandbox) -> None:
        await shell(sandbox, "echo 'echo hi' > script; chmod 755 script")
        await sandbox.write("script", b"echo ho\n")
        assert await shell(sandbox, "./script") == "ho"

    async def test_odd_commands_are_answered(self, sandbox: Sandbox) -> None:
        assert await sandbox.run("echo \0", seconds=5) == Executed(126, b"the command holds a NUL character", 0, 0.0)
        assert (await sandbox.run("true " + "x" * 200_000, seconds=5)).exit_code == 126

    async def test_a_revision_that_is_not_there_leaves_nothing(self, sandboxes: Sandboxes) -> None:
        with pytest.raises(SandboxError, match="tree"):
            await sandboxes.create("1.1", "0" * 40)
        with pytest.raises(SandboxError, match="gone"):
            await sandboxes.reopen("1.1", "1.1")
