"""Placing sandboxes over hosts: the least loaded takes the next, and a host that goes away costs what is on it alone.

The sandboxes are local ones, real as ever; only the hosts' word on how they are is ours to choose."""

import asyncio
import contextlib
import hashlib
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from backends.sandboxes import SandboxError
from backends.sandboxes.docker import Host, HostError, PlacedSandboxes, malformed
from backends.sandboxes.git import mirror_repository
from backends.sandboxes.local import LocalSandboxes
from store.domain.task import Dirt


class Machine(Host):
    """A host that says what it is told to say."""

    def __init__(self, name: str, running: int = 0, cpus: int = 1) -> None:
        super().__init__(name, {})
        self.running, self.cpus, self.up = running, cpus, True

    def load(self, seconds: float) -> tuple[int, int]:
        if not self.up:
            raise HostError("no answer")
        return self.running, self.cpus


class Locally(LocalSandboxes):
    """Local sandboxes in place of one host's."""

    def __init__(self, folder: Path, mirror: Path) -> None:
        super().__init__("run", folder, mirror, os.environ)

    async def prepare(self, said: Callable[[str], None]) -> None:
        said("made")

    async def leave(self) -> None:
        await self.sweep()


class Rig:
    """Hosts, their sandboxes, and what was told."""

    def __init__(self, folder: Path, *machines: Machine) -> None:
        source = folder / "source"
        source.mkdir()
        (source / "a.txt").write_text("a\n")
        somebody = ["-c", "user.name=a", "-c", "user.email=a@b"]
        for arguments in (["init", "-q"], ["add", "-A"], [*somebody, "commit", "-qm", "one"]):
            subprocess.run(["git", *arguments], cwd=source, check=True)
        self.revision = mirror_repository(source, folder / "m.git", "HEAD", Dirt.REFUSE)
        self.machines = {machine.name: machine for machine in machines}
        self.told: list[str] = []

        async def tell(sentence: str) -> None:
            self.told.append(sentence)

        self.sandboxes = PlacedSandboxes(
            machines,
            lambda host: Locally(folder / (host.name or "here"), folder / "m.git"),
            tell,
            every=0.02,
            back_within=0.5,
        )

    async def create(self, name: str) -> str:
        """Make a sandbox; where it is."""
        return (await self.sandboxes.create(name, self.revision)).handle.partition(" ")[0]

    async def until(self, sentence: str) -> None:
        async with asyncio.timeout(30):
            while not any(sentence in told for told in self.told):  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def rig(folder: Path, *machines: Machine) -> AsyncIterator[Rig]:
    made = Rig(folder, *machines)
    try:
        await made.sandboxes.begin()
        yield made
        with contextlib.suppress(SandboxError):
            await made.sandboxes.remove()
    finally:
        await made.sandboxes.close()


async def test_each_sandbox_goes_to_the_least_loaded_host(tmp_path: Path) -> None:
    async with rig(tmp_path, Machine("small", cpus=1), Machine("big", cpus=3), Machine("busy", 9, 4)) as made:
        where = [await made.create(f"1.{number}") for number in range(1, 9)]
        assert (where.count("small"), where.count("big"), where.count("busy")) == (2, 6, 0)
        said: list[str] = []
        await made.sandboxes.prepare(said.append)
        assert said == ["small: made", "big: made", "busy: made"]


async def test_those_that_are_made_at_once_are_spread_as_well(tmp_path: Path) -> None:
    async with rig(tmp_path, Machine("a"), Machine("b")) as made:
        where = await asyncio.gather(*(made.create(f"1.{number}") for number in range(1, 5)))
        assert sorted(where) == ["a", "a", "b", "b"]


async def test_one_that_is_closed_makes_room_once(tmp_path: Path) -> None:
    async with rig(tmp_path, Machine("a"), Machine("b")) as made:
        first = await made.sandboxes.create("1.1", made.revision)
        assert (first.handle.startswith("a "), await made.create("1.2")) == (True, "b")
        await first.close()
        await first.close()
        assert [await made.create("1.3"), await made.create("1.4")] == ["a", "a"]


async def test_a_handle_leads_back_to_its_host_and_one_host_is_left_unsaid(tmp_path: Path) -> None:
    async with rig(tmp_path, Machine("a"), Machine("b", 5)) as made:
        sandbox = await made.sandboxes.create("1.1", made.revision)
        await sandbox.write("new.txt", b"new")
        again = await made.sandboxes.reopen("1.1", sandbox.handle)
        assert await again.read("new.txt") == b"new"
        with pytest.raises(SandboxError, match="none of this run's"):
            await made.sandboxes.reopen("1.1", sandbox.handle.replace("a ", "c ", 1))
    (tmp_path / "one").mkdir()
    async with rig(tmp_path / "one", Machine("")) as made:
        assert " " not in (await made.sandboxes.create("1.1", made.revision)).handle


async def test_whatever_waits_for_a_host_that_goes_away_is_told_at_once_and_the_others_go_on(tmp_path: Path) -> None:
    async with rig(tmp_path, Machine("a"), Machine("b")) as made:
        lost = await made.sandboxes.create("1.1", made.revision)
        kept = await made.sandboxes.create("1.2", made.revision)
        assert (lost.handle[:2], kept.handle[:2]) == ("a ", "b ")
        waiting = asyncio.create_task(lost.run("sleep 600", seconds=900))
        going = asyncio.create_task(kept.run("sleep 0.5; echo fine", seconds=60))
        made.machines["a"].up = False
        with pytest.raises(SandboxError, match=r"its Docker host went away \(a\): no answer"):
            await waiting
        assert (await going).text() == "fine\n"
        await made.until("The Docker host a went away: no answer")
        assert await made.create("1.3") == "b"
        with pytest.raises(SandboxError, match="went away"):
            await lost.patch()
        await lost.interrupt()
        made.machines["a"].up = True
        await made.until("The Docker host a is back.")
        assert await lost.patch() == b"", "what is there again can be used again"


async def test_a_sandbox_error_of_its_own_is_passed_on(tmp_path: Path) -> None:
    async with rig(tmp_path, Machine("a"), Machine("b")) as made:
        sandbox = await made.sandboxes.create("1.1", made.revision)
        with pytest.raises(SandboxError, match="patch"):
            await sandbox.apply(b"no patch")
        with pytest.raises(FileNotFoundError):
            await sandbox.read("none")
        with pytest.raises(SandboxError):
            await made.sandboxes.create("1.2", "f" * 40)
        assert not made.told


async def test_when_all_are_away_a_new_sandbox_waits_for_the_first_that_comes_back(tmp_path: Path) -> None:
    async with rig(tmp_path, Machine("a"), Machine("b")) as made:
        for machine in made.machines.values():
            machine.up = False
        await made.until("host a went away")
        await made.until("host b went away")
        creating = asyncio.create_task(made.create("1.1"))
        await asyncio.sleep(0)
        made.machines["b"].up = True
        assert await creating == "b"
        made.machines["b"].up = False
        made.told.clear()
        await made.until("host b went away")
        with pytest.raises(SandboxError, match="no answer"):
            await made.create("1.2")
        with pytest.raises(SandboxError, match="may be left"):
            await made.sandboxes.remove()


async def test_a_host_that_misses_one_look_is_only_slow(tmp_path: Path) -> None:
    class Slow(Machine):
        missed = 0

        def load(self, seconds: float) -> tuple[int, int]:
            self.missed += 1
            if self.missed % 3 == 2:
                raise HostError("too late")
            return super().load(seconds)

    slow = Slow("a")
    async with rig(tmp_path, slow) as made:
        async with asyncio.timeout(30):
            while slow.missed < 8:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert not made.told


async def test_a_run_begins_with_the_hosts_that_answer_and_not_without_any(tmp_path: Path) -> None:
    down = Machine("b")
    down.up = False
    async with rig(tmp_path, Machine("a"), down) as made:
        assert made.told == ["The Docker host b is left out: no answer"]
        assert await made.create("1.1") == "a"
        assert await made.sandboxes.sweep() == 0
    (tmp_path / "none").mkdir()
    with pytest.raises(SandboxError, match="no answer"):
        async with rig(tmp_path / "none", down):
            pass


async def test_a_host_that_goes_away_while_it_is_made_ready_is_left_out(tmp_path: Path) -> None:
    class Going(Locally):
        async def prepare(self, said: Callable[[str], None]) -> None:
            said("begun")
            made.machines["a"].up = False
            raise SandboxError("connection lost")

        async def sweep(self) -> int:
            if not made.machines["a"].up:
                raise SandboxError("connection lost")
            return await super().sweep()

    async with rig(tmp_path, Machine("a"), Machine("b")) as made:
        place = made.sandboxes._places["a"]
        place.sandboxes = Going(tmp_path / "a", tmp_path / "m.git")
        said: list[str] = []
        await made.sandboxes.prepare(said.append)
        assert said == ["a: begun", "b: made"]
        assert await made.sandboxes.sweep() == 0
        assert await made.create("1.1") == "b"


def test_a_context_that_cannot_be_read_is_said_to_be(tmp_path: Path) -> None:
    meta = tmp_path / "contexts" / "meta" / hashlib.sha256(b"far").hexdigest()
    meta.mkdir(parents=True)
    environ = {"DOCKER_CONFIG": str(tmp_path)}
    (tmp_path / "config.json").write_text('{"currentContext": "far"}')
    for name in ("far", ""):
        with pytest.raises(HostError, match="`docker context ls` lists them"):
            Host(name, environ).client()
    for words in ("{}", "no JSON", "[]"):
        (meta / "meta.json").write_text(words)
        with pytest.raises(HostError, match='the Docker context "far" can\'t be read'):
            Host("far", environ).client()
    endpoint = {"Host": "tcp://127.0.0.1:1", "SkipTLSVerify": True}
    (meta / "meta.json").write_text(json.dumps({"Name": "far", "Endpoints": {"docker": endpoint}}))
    with pytest.raises(HostError, match="no Docker engine answers at far"):
        Host("far", environ).client()


@pytest.mark.parametrize(
    "name",
    [
        "default",
        "my-box.1",
        "unix:///var/run/docker.sock",
        "tcp://10.0.0.1:2376",
        "ssh://big",
        "ssh://me@big:22/s.sock",
    ],
)
def test_what_can_be_a_host(name: str) -> None:
    assert malformed(name) == ""


@pytest.mark.parametrize(
    "name",
    ["", "a b", "-x", "tcp://big", "tcp://:1", "http://big:1", "ssh://-oProxyCommand=x", "ssh://-l@big", "unix://",
     "ssh://me:pw@big", "tcp://big:port", "ssh://big?x", "ssh:// big"],
)  # fmt: skip
def test_what_cannot(name: str) -> None:
    assert malformed(name)
