"""The Docker sandbox does what every sandbox does, in real containers."""

import asyncio
from collections.abc import Iterator

import pytest

from backends.sandboxes import Inhabitable, Sandbox, SandboxError, Sandboxes, touched
from backends.sandboxes.docker import DockerSandbox, DockerSandboxes
from tests.dockerrig import RUN, engine, left, sandboxes_in
from tests.sandboxcontract import Mirror, SandboxContract, a_nap, repository, running, shell

pytestmark = engine()


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Mirror:
    return repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def sandboxes(tmp_path_factory: pytest.TempPathFactory, mirror: Mirror) -> Iterator[DockerSandboxes]:
    home = tmp_path_factory.mktemp("home")
    made = sandboxes_in(home, mirror[0])
    yield made
    asyncio.run(made.remove())
    assert left(home) == []


@pytest.fixture
async def sandbox(sandboxes: DockerSandboxes, mirror: Mirror) -> DockerSandbox:
    return await sandboxes.create("1.1", mirror[1])


class TestDockerSandbox(SandboxContract):
    """What every sandbox does."""

    run = RUN

    def root(self, sandbox: Sandbox) -> str:
        return "/workspace/work"


async def test_it_fits_the_protocol(sandboxes: DockerSandboxes, sandbox: DockerSandbox) -> None:
    fits: Sandboxes = sandboxes
    lives: Inhabitable = sandbox
    assert fits.wall
    assert isinstance(lives, Inhabitable)


async def test_what_stays_in_the_background_holds_up_no_command(sandbox: DockerSandbox) -> None:
    nap = a_nap()
    # It has the command's streams, and an engine would wait for them.
    for _ in range(3):
        done = await sandbox.run(f"{nap} & echo on", seconds=60)
        assert (done.exit_code, done.output) == (0, b"on\n")
    assert running(nap)
    await sandbox.interrupt()
    assert not running(nap)


async def test_a_command_that_ends_everything_ends(sandbox: DockerSandbox) -> None:
    assert (await sandbox.run("kill -9 -1", seconds=60)).exit_code == 137
    assert await shell(sandbox, "echo still here") == "still here"


async def test_a_program_is_spoken_to(sandbox: DockerSandbox) -> None:
    program = await sandbox.stream(
        ["sh", "-c", 'echo "$MORE"; echo oops >&2; cat; exit 7'], environment={"MORE": "more"}
    )
    assert await program.output.readline() == b"more\n"
    data = bytes(range(256)) * 8192
    writing = asyncio.create_task(program.write(data))
    assert await program.output.readexactly(len(data)) == data
    await writing
    await program.kill()
    assert await program.ended() == 137
    assert program.said == b"oops\n"
    await program.kill()
    with pytest.raises(ConnectionError):
        await program.write(b"more")
    other = await sandbox.stream(["sh", "-c", "echo out; exit 7"])
    assert (await other.output.read(), await other.ended()) == (b"out\n", 7)
    missing = await sandbox.stream(["nosuch"])
    assert (await missing.output.read(), await missing.ended()) == (b"", 127)
    assert b"nosuch" in missing.said


async def test_a_program_that_nobody_reads_waits(sandbox: DockerSandbox) -> None:
    program = await sandbox.stream(["sh", "-c", "yes | head -c 50000000; echo done >&2"])
    await asyncio.sleep(0)
    assert await program.output.readexactly(1000) == b"y\n" * 500
    assert program.said == b""
    read = 1000
    while piece := await program.output.read(1 << 20):
        read += len(piece)
    assert (read, await program.ended(), program.said) == (50_000_000, 0, b"done\n")


async def test_a_program_is_killed_with_all_that_it_started(sandbox: DockerSandbox) -> None:
    nap = a_nap()
    program = await sandbox.stream(["sh", "-c", f"setsid {nap} & echo on; {nap}"])
    assert await program.output.readline() == b"on\n"
    await program.kill()
    assert not running(nap)


async def test_every_kind_of_change_goes_over(
    sandboxes: DockerSandboxes, sandbox: DockerSandbox, mirror: Mirror
) -> None:
    await shell(
        sandbox,
        r"""
        echo three >> b.txt; chmod +x b.txt; head -c 3000 /dev/urandom > bin; rm pack/a.py; echo noise > x.log
        ln -s b.txt link; mkdir -p n/e/w empty; printf 'no newline' > n/e/w/f; printf 'a\r\nb\n' > crlf; mkfifo pipe
        printf 'x' > "$(printf 'od\nd\t"q\\ \377')"; rmdir pack; echo 'now a file' > pack; touch none -- -dash
        git init -q inner; echo 1 > inner/f
        """,
    )
    patch = await sandbox.patch()
    assert touched(patch) == tuple(
        sorted(["b.txt", "bin", "pack", "pack/a.py", "link", "n/e/w/f", "crlf", 'od\nd\t"q\\ \\xff', "none", "-dash"])
    )
    other = await sandboxes.create("1.2", mirror[1])
    await other.apply(patch)
    assert await other.patch() == patch
    listing = "git hash-object -- b.txt bin pack n/e/w/f crlf none ./-dash; readlink link; ls -l b.txt | cut -c1-10"
    assert await shell(other, listing) == await shell(sandbox, listing)
    await other.apply(b"")
    with pytest.raises(SandboxError, match="apply"):
        await other.apply(patch)
    assert await other.patch() == patch


TRICKS = [
    "git add -A; git commit -qm done",
    "git checkout -q -b other; git add -A; git commit -qm x; git checkout -q --orphan none; git rm -qr --cached .",
    "git add -A; git update-index --assume-unchanged b.txt; git update-index --skip-worktree new.txt",
    "rm -rf .git",
    "rm .git/HEAD; echo broken > .git/index; chmod 000 .git/objects; rm -f .git/objects/info/alternates",
    "mkdir -p .git/info; echo '*' > .git/info/exclude; git config core.excludesFile /dev/stdin",
    "git config core.worktree /tmp; git config core.fileMode false; git config core.bare true",
    "git config diff.external 'touch /tmp/hacked'; git config core.fsmonitor 'touch /tmp/hacked'",
    "printf '#!/bin/sh\\ntouch /tmp/hacked\\n' > .git/hook; chmod +x .git/hook; git config core.hooksPath .git",
    "git config filter.f.clean 'tr a-z A-Z'; mkdir -p .git/info; echo '* filter=f diff=f' > .git/info/attributes",
    """git config --global filter.f.clean 'tr a-z A-Z'; echo '* filter=f' > ~/.gitattributes
    git config --global core.attributesFile ~/.gitattributes; git config --global core.excludesFile ~/.gitattributes""",
    """mkdir ~/bin; printf '#!/bin/sh\\ntouch /tmp/hacked\\n' > ~/bin/git; chmod +x ~/bin/git
    echo PATH=~/bin:$PATH > ~/.profile; cp ~/.profile ~/.bashrc; cp ~/.profile ~/.bash_profile""",
    "chmod 000 ~ $TMPDIR; ln -s /nowhere /tmp/.multitrack",
]


async def test_what_is_done_with_git_makes_no_difference(sandboxes: DockerSandboxes, mirror: Mirror) -> None:
    change = "echo three >> b.txt; echo new > new.txt; rm pack/a.py\n"

    async def patch_after(number: int, trick: str) -> bytes:
        sandbox = await sandboxes.create(f"1.{number}", mirror[1])
        await sandbox.run(change + trick, seconds=60)
        await sandbox.interrupt()
        patch = await sandbox.patch()
        assert (await sandbox.run("test -e /tmp/hacked", seconds=60)).exit_code == 1, trick
        await sandbox.close()
        return patch

    plain = await patch_after(0, "")
    assert touched(plain) == ("b.txt", "new.txt", "pack/a.py")
    found = await asyncio.gather(*(patch_after(number, trick) for number, trick in enumerate(TRICKS, 1)))
    for trick, patch in zip(TRICKS, found, strict=True):
        assert patch == plain, trick


async def test_a_file_of_the_same_size_and_second_counts(sandbox: DockerSandbox) -> None:
    await shell(sandbox, "touch -r b.txt /tmp/then; sed -i s/two/TWO/ b.txt; touch -r /tmp/then b.txt")
    assert b"+TWO" in await sandbox.patch()


async def test_cancelled_at_any_moment_it_kills(sandbox: DockerSandbox) -> None:
    nap = a_nap()
    for number in range(12):
        task = asyncio.create_task(sandbox.run(f"setsid {nap} & {nap}", seconds=60))
        await asyncio.sleep(number / 100)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not running(nap)
    assert await shell(sandbox, "ls -A /tmp") == ""


async def test_too_much_is_refused_by_name(sandbox: DockerSandbox) -> None:
    await shell(sandbox, "head -c 80000000 /dev/zero > core.dump; echo x > small")
    with pytest.raises(SandboxError, match=r"76 MiB were changed, more than the 64 MiB .*: core.dump \(76 MiB\)"):
        await sandbox.patch()


async def test_a_clone_that_was_removed_is_said(sandbox: DockerSandbox) -> None:
    await sandbox.run("rm -rf * .g*", seconds=60)
    assert touched(await sandbox.patch()) == (".gitignore", "b.txt", "pack/a.py")
    assert (await sandbox.run("cd ..; rmdir work; mv work elsewhere", seconds=60)).exit_code != 0


async def test_a_clone_that_nobody_may_enter_holds_up_nothing(sandbox: DockerSandbox) -> None:
    nap = a_nap()
    await shell(sandbox, f"{nap} & chmod 000 .")
    with pytest.raises(SandboxError, match=r"no /workspace/work that can be entered|denied"):
        await sandbox.patch()
    assert (await sandbox.run("sleep 100", seconds=0.5)).exit_code in (None, 126)
    await sandbox.interrupt()
    assert not running(nap)
    # It is the subagent's own, and so it can be undone.
    await sandbox.run("chmod 755 /workspace/work", seconds=60)
    assert await sandbox.patch() == b""


async def test_large_files_go_in_and_out(sandbox: DockerSandbox) -> None:
    data = bytes(range(256)) * 4096 * 12
    await sandbox.write("large", data)
    assert await sandbox.read("large") == data
    await shell(sandbox, "head -c 20000000 /dev/zero > larger")
    with pytest.raises(OSError, match="20000000 bytes"):
        await sandbox.read("larger")
