"""A real Docker engine for tests: what needs one is marked with `pytestmark = engine()`; what it makes is taken away.

Without an engine, or without the base image on it, tests are skipped with the reason; where MULTITRACK_NEEDS_DOCKER is
set, as in CI, they fail. `.ci/docker-engine` brings both.
"""

import contextlib
import functools
import io
import os
import re
import secrets
import signal
import subprocess
import tarfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.sandboxes import SandboxError
from backends.sandboxes.docker import DockerSandboxes, Host
from backends.sandboxes.docker.container import LABEL_HOME, home_digest
from store.domain.docker import DockerSettings

IMAGE = os.environ.get("MULTITRACK_TEST_IMAGE", "multitrack/debian:bookworm")
"""Debian with Git and Python 3.11."""
SETTINGS = DockerSettings(image=IMAGE, memory=256 << 20, cpus=2.0, pids=64)
RUN = f"d{secrets.token_hex(2)}"
"""Another in every process: whoever ends what the local sandboxes of a run have left finds the run's name in containers
on this machine, too."""


@functools.cache
def lacking() -> str:
    """Why no container can be made here, "" when one can."""
    host = Host("", os.environ)
    try:
        return "" if host.has(IMAGE) else f"the Docker engine has no image {IMAGE}: .ci/docker-engine makes it"
    except SandboxError as error:
        return str(error)
    finally:
        host.close()


def engine() -> pytest.MarkDecorator:
    """The mark of tests that need an engine."""
    why = lacking()
    if why and os.environ.get("MULTITRACK_NEEDS_DOCKER"):
        pytest.fail(f"MULTITRACK_NEEDS_DOCKER is set, but {why}", pytrace=False)
    return pytest.mark.skipif(bool(why), reason=why)


def sandboxes_in(
    home: Path, mirror: Path, settings: DockerSettings = SETTINGS, *, run: str = RUN, host: Host | None = None
) -> DockerSandboxes:
    """The sandboxes of a run of a home. Whoever makes them calls `remove`."""
    folder = home / "runs" / run / "sandboxes"
    folder.mkdir(parents=True, exist_ok=True)
    return DockerSandboxes(run, folder, mirror, settings, os.environ, host=host)


@contextlib.asynccontextmanager
async def sandboxes_of(
    home: Path, mirror: Path, settings: DockerSettings = SETTINGS, *, run: str = RUN, host: Host | None = None
) -> AsyncIterator[DockerSandboxes]:
    """The same, removed at the end, with a look whether anything is left."""
    host = host or Host("", os.environ)
    made = sandboxes_in(home, mirror, settings, run=run, host=host)
    try:
        try:
            yield made
        except BaseException:
            # That is what went wrong, whatever comes after it.
            with contextlib.suppress(SandboxError):
                await made.remove()
            raise
        await made.remove()
        assert left(home, host) == []
    finally:
        host.close()


def left(home: Path, host: Host | None = None) -> list[str]:
    """The names of all containers and volumes on an engine that belong to a home."""
    host = host or Host("", os.environ)
    api: Any = host.client().api
    label = {"label": f"{LABEL_HOME}={home_digest(home.absolute())}"}
    containers = [name.removeprefix("/") for one in api.containers(all=True, filters=label) for name in one["Names"]]
    volumes = [one["Name"] for one in api.volumes(filters=label)["Volumes"] or ()]
    return sorted(containers) + sorted(volumes)


def working(home: Path, host: Host | None = None) -> list[str]:
    """Those of them that are containers of subagents at work, and their workspaces."""
    return [name for name in left(home, host) if name.rpartition("-")[2].count(".") == 2 and "check" not in name]


class SecondEngine:
    """Another engine on this machine, in a network of its own, so that it can be killed. `address` is its socket's;
    with a size, in bytes, its disk is in memory, and can be filled."""

    def __init__(self, folder: Path, size: int = 0) -> None:
        self._folder = folder
        disk = folder / "data-root"
        disk.mkdir(parents=True)
        if size:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "multitrack", str(disk)], check=True)
        self.address = f"unix://{folder}/s"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        # What a killed one left there is taken for a containerd that lives, and waited for.
        subprocess.run(["rm", "-rf", f"{self._folder}/exec-root/containerd"], check=True)
        places = [f"--{name}={self._folder}/{name}" for name in ("data-root", "exec-root")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["unshare", "-n", "dockerd", *places, "-p", f"{self._folder}/pid", "-H", self.address],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 60
        while True:
            host = Host(self.address, os.environ)
            with contextlib.suppress(SandboxError):
                host.client()
                host.close()
                return
            words = (self._folder / "log").read_text(errors="replace")
            assert time.monotonic() < deadline and self._process.poll() is None, words[-2000:]
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it, and whatever it started. Files stay."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        # containerd and its shims are in sessions of their own, and know each other by these places.
        marked = str(self._folder).encode()
        deadline = time.monotonic() + 30
        # What runs in a container has no mark but its control group, which has the name that the container's shim has.
        names = {
            name for _, words, _ in _processes() if marked in words for name in re.findall(rb"[0-9a-f]{64}", words)
        }
        while pids := [
            pid for pid, words, groups in _processes() if marked in words or any(name in groups for name in names)
        ]:
            assert time.monotonic() < deadline, "they would not end"
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        (self._folder / "pid").unlink(missing_ok=True)

    def remove(self) -> None:
        """Kill it, and remove all that it wrote."""
        if self._process is not None:
            self.kill()
        mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for place in sorted((one for one in mounted if one.startswith(str(self._folder))), reverse=True):
            subprocess.run(["umount", "-l", place], check=False)
        subprocess.run(["rm", "-rf", str(self._folder)], check=True)

    def load(self) -> None:
        """Bring it the base image, without what only Python and people need: that takes most of the time."""
        ours, theirs = Host("", os.environ), Host(self.address, os.environ)
        api: Any = ours.client().api
        made = api.create_container(IMAGE, ["true"])["Id"]
        packed = io.BytesIO()
        try:
            with (
                tarfile.open(fileobj=_Reader(api.export(made)), mode="r|") as whole,
                tarfile.open(fileobj=packed, mode="w") as part,
            ):
                for entry in whole:
                    if not entry.name.startswith(_LEFT_OUT):
                        part.addfile(entry, whole.extractfile(entry) if entry.isreg() else None)
        finally:
            api.remove_container(made)
            ours.close()
        name, _, version = IMAGE.partition(":")
        other: Any = theirs.client().api
        other.import_image_from_data(packed.getvalue(), repository=name, tag=version)
        theirs.close()


_LEFT_OUT = ("usr/share/", "var/", "usr/lib/python3", "usr/lib/x86_64-linux-gnu/perl", "usr/lib/x86_64-linux-gnu/gconv")


class _Reader(io.RawIOBase):
    """Pieces as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = iter(pieces), b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        self._rest = self._rest or next(self._pieces, b"")
        count = min(len(into), len(self._rest))
        into[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def _processes() -> list[tuple[int, bytes, bytes]]:
    """Number, command and control groups of every process but this one."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_bytes(), (folder / "cgroup").read_bytes()
                if words[0]:
                    found.append((int(folder.name), *words))
    return found


@contextlib.contextmanager
def second_engine(folder: Path, size: int = 0) -> Iterator[SecondEngine]:
    """One that runs and has the base image, gone afterwards. Needs to be root; skips where it is not, and fails where
    an engine is needed."""
    if os.geteuid() != 0:
        why = "a second engine is started as root"
        if os.environ.get("MULTITRACK_NEEDS_DOCKER"):
            pytest.fail(why, pytrace=False)
        pytest.skip(why)
    made = SecondEngine(folder, size)
    try:
        made.start()
        made.load()
        yield made
    finally:
        made.remove()
