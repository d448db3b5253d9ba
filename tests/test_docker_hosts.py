"""Several Docker hosts: two real engines, one of which is killed, or falls silent, or is reached through ssh."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.sandboxes import Inhabitable, SandboxError
from backends.sandboxes.docker import DockerSandboxes, Host, HostError, PlacedSandboxes
from backends.sandboxes.git import mirror_repository
from store.commands import issue
from store.database import open_store
from store.domain.commands import Restart, Stop
from store.domain.docker import DockerSettings
from store.domain.events import Alert, SubagentEnded, SubagentLaunched
from store.domain.ids import SubagentId
from store.domain.states import Ending, RunState, SubagentState
from store.domain.task import Dirt, SandboxKind
from store.home import Home
from tests import runs
from tests.dockerrig import IMAGE, RUN, SecondEngine, engine, left, second_engine

HERE = "unix:///var/run/docker.sock"

pytestmark = [engine(), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecondEngine]:
    with second_engine(tmp_path_factory.mktemp("second") / "d") as made:
        # With Python, which the practice bug is written in.
        with subprocess.Popen(["docker", "save", IMAGE], stdout=subprocess.PIPE) as saving:
            load = ["docker", "-H", made.address, "load", "-q"]
            subprocess.run(load, stdin=saving.stdout, stdout=subprocess.DEVNULL, check=True)
        yield made


@pytest.fixture
def other(second: SecondEngine) -> Iterator[SecondEngine]:
    """The second engine, alive before and after."""
    yield second
    with contextlib.suppress(AssertionError):
        second.kill()
    second.start()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "home").create()
    yield made
    assert left(made.root) == [], "something was left on the first engine"


def ordered(home: Home, *hosts: str, **changes: object) -> str:
    """A run over these hosts, slow enough that something can happen to it."""
    settings = DockerSettings(image=IMAGE, hosts=hosts)
    given = {"lanes": 4, "generations": 2, "pace": 100.0, "sandbox": SandboxKind.DOCKER, "docker": settings}
    return runs.order(home, **{**given, **changes})  # type: ignore[arg-type]


def at_work(home: Home, run: str) -> dict[SubagentId, str]:
    """Where the subagents are that have been launched."""
    return {
        event.subagent: event.payload.sandbox.partition(" ")[0]
        for event in runs.log(home, run)
        if isinstance(event.payload, SubagentLaunched) and event.subagent is not None
    }


def ends(home: Home, run: str) -> list[SubagentEnded]:
    return [event.payload for event in runs.log(home, run) if isinstance(event.payload, SubagentEnded)]


def test_a_host_that_is_killed_costs_its_subagents_and_not_the_run(home: Home, other: SecondEngine) -> None:
    run = ordered(home, HERE, other.address, gates_open=False)
    with runs.engine(home, run) as process:
        runs.until(lambda: len(at_work(home, run)) == 4 or process.poll() is not None, "all four at work")
        where = at_work(home, run)
        # Others may use the first engine at the same time, and count.
        lost = [subagent for subagent, host in where.items() if host == other.address]
        assert len(lost) >= 2, home.folder(run).log.read_text()
        other.kill()
        runs.until(lambda: len(ends(home, run)) >= 2, "the end of those that were there")
        runs.until(lambda: runs.board(home, run).state is RunState.GATE, "the gate")
        lanes = runs.board(home, run).generations[1].lanes
        for lane in lanes.values():
            assert lane.ended is not None
            assert (lane.ended.ending is Ending.CRASHED) == (lane.id in lost), lane.ended
            assert ("its Docker host went away" in lane.ended.detail) == (lane.id in lost)
            assert (lane.state is SubagentState.FAILED) == (lane.id in lost)
        alerts = [event.payload.text for event in runs.log(home, run) if isinstance(event.payload, Alert)]
        assert any(f"The Docker host {other.address} went away" in said for said in alerts)
        # What was lost can be started again, and finds another place.
        with open_store(home.store) as store:
            for subagent in lost:
                issue(store, run, Restart(subagent.generation, subagent.lane), at=time.time())
        runs.until(lambda: len(ends(home, run)) == 4 + len(lost), "all of them to end")
        assert set(at_work(home, run).values()) == {HERE}
        with open_store(home.store) as store:
            issue(store, run, Stop(), at=time.time())
        assert process.wait(runs.DEADLINE) == 0
    assert all(lane.state is not SubagentState.FAILED for lane in runs.board(home, run).generations[1].lanes.values())


def test_an_engine_that_is_started_anew_in_the_middle_costs_the_subagents_alone(
    home: Home, other: SecondEngine
) -> None:
    run = ordered(home, other.address, gates_open=False, lanes=2)
    with runs.engine(home, run) as process:
        runs.until(lambda: len(at_work(home, run)) == 2 or process.poll() is not None, "both at work")
        other.kill()
        other.start()
        runs.until(lambda: len(ends(home, run)) == 2, "their end")
        for end in ends(home, run):
            assert end.ending is Ending.CRASHED
            assert re.search("its Docker host went away|its container .* Docker engine|started anew", end.detail), end
        runs.until(lambda: runs.board(home, run).state is RunState.GATE, "the gate")
        with open_store(home.store) as store:
            issue(store, run, Restart(1, 1), at=time.time())
        runs.until(lambda: len(ends(home, run)) == 3, "the end of the one that was started anew")
        assert ends(home, run)[-1].ending is Ending.SUBMITTED
        with open_store(home.store) as store:
            issue(store, run, Stop(), at=time.time())
        assert process.wait(runs.DEADLINE) == 0
    host = Host(other.address, os.environ)
    assert left(home.root, host) == []
    host.close()


@pytest.fixture
def mirror(tmp_path: Path) -> tuple[Path, str]:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.txt").write_text("a\n")
    somebody = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "-A"], [*somebody, "commit", "-qm", "one"]):
        subprocess.run(["git", *arguments], cwd=source, check=True)
    return tmp_path / "m.git", mirror_repository(source, tmp_path / "m.git", "HEAD", Dirt.REFUSE)


class Idle(Host):
    """A host on which nobody else's containers count."""

    def load(self, seconds: float) -> tuple[int, int]:
        return 0, super().load(seconds)[1]


async def test_a_host_that_answers_nothing_any_more_is_left_alone(
    home: Home, other: SecondEngine, mirror: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.sandboxes.docker.placing.ANSWERS_WITHIN", 1.0)
    told: list[str] = []

    async def tell(sentence: str) -> None:
        told.append(sentence)

    folder = home.folder(RUN).create().sandboxes
    settings = DockerSettings(image=IMAGE)
    hosts = [Idle(name, os.environ) for name in (other.address, HERE)]
    sandboxes = PlacedSandboxes(
        hosts,
        lambda host: DockerSandboxes(RUN, folder, mirror[0], settings, os.environ, host=host),
        tell,
        every=0.1,
    )
    await sandboxes.begin()
    try:
        await sandboxes.prepare(lambda line: None)
        first = await sandboxes.create("1.1", mirror[1])
        second = await sandboxes.create("1.2", mirror[1])
        assert [one.handle.partition(" ")[0] for one in (first, second)] == [other.address, HERE]
        waiting = asyncio.create_task(first.run("echo begun; sleep 600", seconds=900))
        assert isinstance(first, Inhabitable)
        program = await first.stream(["sleep", "600"])
        reading = asyncio.create_task(program.output.read())
        assert (await second.run("cat a.txt", seconds=60)).text() == "a\n"
        pids = runs.processes("dockerd", other.address)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(SandboxError, match="its Docker host went away"):
                await asyncio.wait_for(waiting, runs.DEADLINE)
            with pytest.raises(ConnectionError, match="its Docker host went away"):
                await asyncio.wait_for(reading, runs.DEADLINE)
            assert (await second.run("cat a.txt", seconds=60)).text() == "a\n"
            third = await sandboxes.create("1.3", mirror[1])
            assert third.handle.startswith(HERE)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        async with asyncio.timeout(60):
            while not any("is back" in said for said in told):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert (await first.run("cat a.txt", seconds=60)).text() == "a\n"
    finally:
        await sandboxes.remove()
        assert left(home.root, hosts[0]) == []
        await sandboxes.close()


# How an engine is reached.


@contextlib.contextmanager
def listening(address: str, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A port that leads to the socket."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, theirs = await asyncio.open_unix_connection(address.removeprefix("unix://"))

        async def one_way(out: asyncio.StreamReader, into: asyncio.StreamWriter) -> None:
            while data := await out.read(65536):
                into.write(data)
                await into.drain()
            into.close()

        await asyncio.gather(one_way(reader, theirs), one_way(there, writer), return_exceptions=True)

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(carry, "127.0.0.1", 0, ssl=tls))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        server.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def certificates(folder: Path) -> None:
    """An authority, and a key with a certificate of its own for the server and for us."""
    folder.mkdir()

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, check=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca-key.pem", "-out", "ca.pem", "-days", "2", "-subj", "/CN=authority")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("server-", ""):
        openssl("req", *key, "-keyout", f"{name}key.pem", "-out", "request", "-subj", f"/CN={name}one")
        signing = ("-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2", "-extfile", "names")
        openssl("x509", "-req", "-in", "request", *signing, "-out", f"{name}cert.pem")


def test_a_host_that_asks_for_certificates(tmp_path: Path) -> None:
    mine, others = tmp_path / "mine", tmp_path / "others"
    certificates(mine)
    certificates(others)
    asking = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=mine / "ca.pem")
    asking.verify_mode = ssl.CERT_REQUIRED
    asking.load_cert_chain(mine / "server-cert.pem", mine / "server-key.pem")
    config = {**os.environ, "DOCKER_CONFIG": str(tmp_path / "docker")}
    with listening(HERE, asking) as port:
        name = f"tcp://127.0.0.1:{port}"
        for who in (mine, others):
            files = ",".join(f"{one}={who / one}.pem" for one in ("ca", "cert", "key"))
            create = ["docker", "context", "create", who.name, "--docker", f"host={name},{files}"]
            subprocess.run(create, env=config, capture_output=True, check=True)
        shown = {**os.environ, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(mine)}
        for reached in (Host("mine", config), Host(name, shown), Host("", {**shown, "DOCKER_HOST": name})):
            assert reached.has(IMAGE)
            reached.close()
        for refused in (Host("others", config), Host(name, {**shown, "DOCKER_CERT_PATH": str(others)})):
            with pytest.raises(HostError, match="look at the certificates"):
                refused.client()
        with pytest.raises(HostError, match="no Docker engine answers at tcp://"):
            Host(name, os.environ).client()


@contextlib.contextmanager
def ssh_server(folder: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """An ssh server for us alone: its port, and an environment whose `ssh` is let in."""
    if (sshd := shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")) is None:
        if os.environ.get("MULTITRACK_NEEDS_DOCKER"):
            pytest.fail("there is no sshd here: install openssh-server", pytrace=False)
        pytest.skip("there is no sshd here")
    folder.mkdir()
    for name in ("host", "mine"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    server = [sshd, "-D", "-e", "-f", "/dev/null", "-h", str(folder / "host"), "-p", str(port)]
    own = ["ListenAddress=127.0.0.1", f"AuthorizedKeysFile={folder}/mine.pub", "StrictModes=no", "PidFile=none",
           "PermitRootLogin=yes"]  # fmt: skip
    key = (folder / "host.pub").read_text().split()
    (folder / "known").write_text(f"[127.0.0.1]:{port} {key[0]} {key[1]}\n")
    settings = [f"UserKnownHostsFile={folder}/known", f"IdentityFile={folder}/mine", "IdentitiesOnly=yes"]
    (folder / "bin").mkdir()
    ours = folder / "bin" / "ssh"
    ours.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F none {" ".join(f"-o {one}" for one in settings)} "$@"\n')
    ours.chmod(0o755)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*server, *(f"-o{one}" for one in own)], stdin=subprocess.DEVNULL, stderr=log)
    try:
        runs.until(lambda: b"listening" in (folder / "log").read_bytes(), "the ssh server", 30)
        yield port, {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    finally:
        process.terminate()
        process.wait()


def test_a_host_is_an_address_or_a_context(
    other: SecondEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    create = ["docker", "context", "create", "second", "--docker", f"host={other.address}"]
    subprocess.run(create, capture_output=True, check=True)
    with listening(other.address) as port:
        ways = [
            (other.address, os.environ),
            (f"tcp://127.0.0.1:{port}", os.environ),
            ("second", os.environ),
            ("", {**os.environ, "DOCKER_HOST": other.address}),
            ("", {**os.environ, "DOCKER_CONTEXT": "second"}),
        ]
        engines = [Host(name, environ) for name, environ in ways]
        try:
            places = {str(host.client().info()["DockerRootDir"]) for host in engines}
            assert len(places) == 1
            assert all(host.has(IMAGE) and not host.has("none:such") for host in engines)
        finally:
            for host in engines:
                host.close()
    here = Host(HERE, os.environ)
    assert str(here.client().info()["DockerRootDir"]) not in places
    here.close()
    with pytest.raises(HostError, match='there is no Docker context "third": `docker context ls` lists them'):
        Host("third", os.environ).client()


def test_a_host_behind_ssh_is_reached_again_when_ssh_has_ended(other: SecondEngine, tmp_path: Path) -> None:
    with ssh_server(tmp_path / "ssh") as (port, environ):
        name = f"ssh://127.0.0.1:{port}{other.address.removeprefix('unix://')}"
        host = Host(name, environ)
        assert host.load(10)[0] == 0
        tunnels = runs.processes("ssh", f"-p\0{port}")
        assert tunnels
        for pid in tunnels:
            os.kill(pid, signal.SIGKILL)
        runs.until(lambda: not runs.processes("ssh", f"-p\0{port}"), "ssh to end", 30)
        assert host.load(10)[0] == 0
        made = host.client().containers.run(IMAGE, ["echo", "from afar"], network_mode="none", remove=True)
        assert made == b"from afar\n"
        host.close()
        assert not runs.processes("ssh", f"-p\0{port}")
        with pytest.raises(HostError, match=r"can't be reached: .*Permission denied"):
            Host(name.replace("//", "//nobody@"), environ).client()
