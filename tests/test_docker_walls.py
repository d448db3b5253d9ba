"""What a program in a container can reach and use, tried from inside."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backends.sandboxes import SandboxError
from backends.sandboxes.docker import DockerSandbox, DockerSandboxes, Host
from backends.sandboxes.docker.container import LABEL_KIND
from backends.sandboxes.docker.scripts import ROOT as CLONE
from tests.dockerrig import IMAGE, SETTINGS, engine, left, sandboxes_in, sandboxes_of
from tests.sandboxcontract import Mirror, a_nap, repository, running, shell, until

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


@contextlib.contextmanager
def listening() -> Iterator[int]:
    """A port that every address of this machine answers on."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        yield server.getsockname()[1]


@contextlib.contextmanager
def neighbour() -> Iterator[str]:
    """Another container, on Docker's usual network, that listens on port 80; its address."""
    host = Host("", os.environ)
    api: Any = host.client().api
    made = api.create_container(
        IMAGE, ["python3", "-m", "http.server", "80"], labels={LABEL_KIND: "test"}, host_config=api.create_host_config()
    )["Id"]
    try:
        api.start(made)
        found = api.inspect_container(made)["NetworkSettings"]
        yield found["IPAddress"] or found["Networks"]["bridge"]["IPAddress"]
    finally:
        api.remove_container(made, force=True, v=True)
        host.close()


REACH = """
import json, socket, sys
found = {}
for host, port in json.loads(sys.argv[1]):
    try:
        socket.create_connection((host, port), 3).close()
        found[f"{host}:{port}"] = "reached"
    except OSError as error:
        found[f"{host}:{port}"] = str(error)
print(json.dumps([found, [name for _, name in socket.if_nameindex()]]))
"""


def addresses() -> list[str]:
    """This machine's own, of whichever network."""
    said = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout
    return ["127.0.0.1", *(word for word in said.split() if "." in word)]


async def test_nothing_is_reached(sandbox: DockerSandbox) -> None:
    with listening() as port, neighbour() as other:
        for address in addresses():
            socket.create_connection((address, port), 3).close()
        await until(lambda: _answers(other))
        places = [(address, port) for address in addresses()]
        places += [(other, 80), ("1.1.1.1", 53), ("8.8.8.8", 443), ("169.254.169.254", 80), ("example.com", 80)]
        places += [("host.docker.internal", port), ("172.17.0.1", port), ("::1", port), ("fd00:ec2::254", 80)]
        await sandbox.write("reach.py", REACH.encode())
        found, interfaces = json.loads(await shell(sandbox, f"python3 reach.py '{json.dumps(places)}'"))
    assert len(found) == len({f"{host}:{port}" for host, port in places})
    assert [place for place, said in found.items() if said == "reached"] == []
    assert interfaces == ["lo"]
    assert (
        await shell(sandbox, "tail -n +2 /proc/net/route; cat /proc/net/ipv6_route 2>/dev/null | grep -v ' lo$'; true")
        == ""
    )


async def test_no_socket_of_this_machine_is_reached(sandbox: DockerSandbox) -> None:
    name = f"multitrack-{os.getpid()}"
    tried = (
        "import socket, sys\n"
        f"for name in ('\\0{name}', '/var/run/docker.sock', '/run/docker.sock', '/run/containerd/containerd.sock'):\n"
        "    with socket.socket(socket.AF_UNIX) as one:\n"
        "        print(one.connect_ex(name) == 0)\n"
    )
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        # Such a name is in no folder, so no mount is needed for it.
        server.bind(f"\0{name}")
        server.listen()
        client.connect(f"\0{name}")
        await sandbox.write("tried.py", tried.encode())
        assert await shell(sandbox, "python3 tried.py") == "\n".join(["False"] * 4)


def _answers(address: str) -> bool:
    try:
        socket.create_connection((address, 80), 3).close()
    except OSError:
        return False
    return True


async def test_no_right_is_left(sandbox: DockerSandbox) -> None:
    status = dict(
        line.split(":\t", 1) for line in (await shell(sandbox, "cat /proc/self/status")).splitlines() if ":\t" in line
    )
    rights = {name: status[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    assert set(rights.values()) == {"0" * 16}
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"
    assert status["Uid"].split() == status["Gid"].split() == ["1000"] * 4
    assert status["Groups"].split() in ([], ["1000"])
    # Those of the container's own process.
    assert (await sandbox.run("cat /proc/1/environ; ls /proc/1/fd; ls /proc/1/root", seconds=60)).exit_code != 0
    await sandbox.run("kill -9 1; for p in /proc/[0-9]*; do kill -9 ${p#/proc/}; done", seconds=60)
    assert await shell(sandbox, "grep -E '^(Uid|CapEff|NoNewPrivs)' /proc/1/status | tr -s '\\t\\n' ' '") == (
        "Uid: 65534 65534 65534 65534 CapEff: 0000000000000000 NoNewPrivs: 1"
    )
    for command in (
        "su -c true",
        "mount -t tmpfs none /mnt",
        "unshare -r true",
        "mknod /tmp/disk b 8 0",
        "chroot / true",
    ):
        assert (await sandbox.run(command, seconds=60)).exit_code != 0, command


async def test_only_the_workspace_and_tmp_can_be_written(sandbox: DockerSandbox) -> None:
    for place in (
        "/",
        "/usr",
        "/etc",
        "/var/tmp",
        "/root",
        "/workspace",
        "/multitrack",
        "/multitrack/mirror.git",
        "/sys",
    ):
        done = await sandbox.run(f"touch {place}/x", seconds=60)
        assert done.exit_code == 1, place
    assert await shell(sandbox, f"touch {CLONE}/x /workspace/home/x /workspace/tmp/x /tmp/x && echo yes") == "yes"
    assert await shell(sandbox, "cp /bin/true /tmp/t && /tmp/t && cp /bin/true t && ./t && echo yes") == "yes"
    await sandbox.interrupt()
    # /tmp is memory, and not all of it.
    full = await sandbox.run("head -c 200000000 /dev/zero > /tmp/full", seconds=60)
    assert full.exit_code == 1
    assert b"No space left" in full.output


async def test_nothing_of_the_host_is_mounted(sandbox: DockerSandbox, tmp_path: Path) -> None:
    mounts = [line.split(" - ") for line in (await shell(sandbox, "cat /proc/self/mountinfo")).splitlines()]
    disks = {left.split()[4] for left, right in mounts if right.split()[0] in ("ext4", "xfs", "btrfs", "zfs")}
    # The three files are Docker's own, made for the container, and so is the program that reaps processes.
    own = {place for place in disks if place.endswith("/docker-init") or place.startswith("/etc/")}
    assert own <= {"/usr/sbin/docker-init", "/sbin/docker-init", "/etc/resolv.conf", "/etc/hostname", "/etc/hosts"}
    assert disks - own == {"/workspace", "/multitrack"}
    shown = await shell(sandbox, "cat /etc/resolv.conf /etc/hosts /etc/hostname; ls -a / /workspace; env")
    assert socket.gethostname() not in shown
    assert "docker.sock" not in shown
    assert str(tmp_path) not in shown
    servers = [line.split()[1] for line in shown.splitlines() if line.startswith("nameserver")]
    assert set(servers) <= {"127.0.0.1"}


async def test_an_image_that_must_write_can(tmp_path: Path, mirror: Mirror) -> None:
    async with sandboxes_of(tmp_path, mirror[0], replace(SETTINGS, read_only=False, user="2000:3000")) as made:
        sandbox = await made.create("1.1", mirror[1])
        assert (
            await shell(sandbox, "echo x > /var/tmp/x; id -u; id -g; stat -c %u:%g b.txt ~")
            == "2000\n3000\n2000:3000\n2000:3000"
        )
        assert (await sandbox.run("echo x > /usr/x", seconds=60)).exit_code != 0
        await sandbox.write("b.txt", b"else\n")
        assert b"+else" in await sandbox.patch()


def test_root_is_refused_and_whoever_could_end_the_container(tmp_path: Path, mirror: Mirror) -> None:
    for user in ("0:0", "root", "1000:0", "", "-1:5", "65534:1000"):
        with pytest.raises(ValueError):
            replace(SETTINGS, user=user).ids  # noqa: B018 - whether it raises


async def test_the_limits_are_set(sandbox: DockerSandbox) -> None:
    shown = await shell(
        sandbox,
        "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; "
        "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null; "
        "cat /sys/fs/cgroup/cpu.max 2>/dev/null || cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us; ulimit -c",
    )
    memory, pids, cpus, core = shown.splitlines()
    assert (int(memory), int(pids), core) == (SETTINGS.memory, SETTINGS.pids, "0")
    assert int(cpus.split()[0]) >= 100_000


async def test_a_fork_bomb_ends_in_its_container(sandboxes: DockerSandboxes, mirror: Mirror) -> None:
    bombed, other = await asyncio.gather(sandboxes.create("1.1", mirror[1]), sandboxes.create("1.2", mirror[1]))
    await bombed.write("kept", b"kept")
    nap = a_nap()
    bomb = asyncio.create_task(
        bombed.run(f"b() {{ b | b & }}; b; for i in 1 2 3; do {nap} & done; wait; {nap}", seconds=2)
    )
    assert await shell(other, "echo undisturbed") == "undisturbed"
    done = await bomb
    assert done.exit_code is None or b"Resource temporarily unavailable" in done.output
    await bombed.interrupt()
    assert not running(nap)
    assert await shell(bombed, "echo again; cat kept") == "again\nkept"
    assert (await other.run("echo undisturbed", seconds=60)).exit_code == 0


FILL = """
import os, time
try:
    while os.fork():
        pass
    time.sleep(300)
except OSError:
    print("full")
"""


async def test_a_container_that_is_full_says_so(sandbox: DockerSandbox) -> None:
    await sandbox.write("fill.py", FILL.encode())
    assert (await sandbox.run("exec python3 fill.py", seconds=60)).output == b"full\n"
    # What that command itself had taken is free again.
    await sandbox.run("exec python3 fill.py", seconds=60)
    with pytest.raises(OSError, match="processes"):
        await sandbox.read("b.txt")
    done = await sandbox.run("echo no room", seconds=60)
    assert done.exit_code not in (0, None)
    assert b"the container may have 64 processes at once" in done.output, done.output
    await sandbox.interrupt()
    assert await shell(sandbox, "echo room") == "room"


async def test_a_memory_hog_ends_alone_and_it_is_said(sandboxes: DockerSandboxes, mirror: Mirror) -> None:
    hog, other = await asyncio.gather(sandboxes.create("1.1", mirror[1]), sandboxes.create("1.2", mirror[1]))
    nap = a_nap()
    await shell(hog, f"{nap} & echo on")
    done = await hog.run("echo begin; python3 -c 'bytearray(600 << 20)'", seconds=60)
    assert done.exit_code == 137
    assert done.output.startswith(b"begin\n")
    assert b"out of memory: the container reached its 256 MiB" in done.output
    # Said of the command that ran out, and not of those after it.
    assert (await hog.run("echo fine", seconds=60)).output == b"fine\n"
    assert running(nap)
    assert (await other.run("echo undisturbed", seconds=60)).output == b"undisturbed\n"


async def test_what_became_of_a_container_is_said(sandboxes: DockerSandboxes, sandbox: DockerSandbox) -> None:
    host = Host("", os.environ)
    api: Any = host.client().api
    nap = a_nap()
    await sandbox.write("kept", b"kept")
    work = asyncio.create_task(sandbox.run(nap, seconds=60))
    await until(lambda: running(nap))
    api.kill(sandbox.handle)
    with pytest.raises(SandboxError, match=r"the sandbox of 1\.1 is lost: its container was killed"):
        await work
    with pytest.raises(SandboxError, match="its container was killed"):
        await sandbox.read("kept")
    # Its files can still be had.
    await sandbox.interrupt()
    assert await sandbox.read("kept") == b"kept"
    api.remove_container(sandbox.handle, force=True)
    with pytest.raises(SandboxError, match="its container is gone"):
        await sandbox.run("true", seconds=60)
    await sandbox.interrupt()
    assert b"+kept" in await sandbox.patch()
    host.close()


async def test_an_image_that_is_missing_is_said(tmp_path: Path, mirror: Mirror) -> None:
    made = sandboxes_in(tmp_path, mirror[0], replace(SETTINGS, image="multitrack/nosuch:1"))
    with pytest.raises(SandboxError, match=r"has no image multitrack/nosuch:1: bring it there \(`docker pull"):
        await made.create("1.1", mirror[1])
    await made.remove()
