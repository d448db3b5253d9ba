"""What containers cost: the start of many sandboxes at once from a warm image, each with its clone, beside plain
`docker run` in a loop and many at once, which start a container that does nothing, with the same walls and limits.

Printed are the wall time, and the CPU that was used by Docker (its daemon, containerd, and a shim a container) and by
who asked it (the `docker` commands; this process, as an engine of ours has it). Then what the sandboxes take while they
stand: nothing under way, and a command in each.

    python -m bench.docker [--containers 25] [--rounds 3] [--image NAME]
"""

import argparse
import asyncio
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from backends.sandboxes import Sandbox
from backends.sandboxes.docker import DockerSandboxes, Host, HostError
from backends.sandboxes.git import mirror_repository
from bench.measuring import cpu_seconds, resident_mb
from store.domain.docker import DockerSettings
from store.domain.task import Dirt

IMAGE = "multitrack/debian:bookworm"
LABEL = "multitrack.bench"
STANDING = 5.0
"""Seconds for which what stands is watched."""
FILES = 200
"""Files of the repository that each sandbox clones."""
PLAIN = (
    *("docker", "run", "-d", "--label", LABEL, "--init", "--network", "none", "--cap-drop", "ALL", "--read-only"),
    *("--security-opt", "no-new-privileges", "--user", "1000:1000", "--tmpfs", "/tmp", "--log-driver", "none"),
    *("--memory", "4g", "--memory-swap", "4g", "--cpus", "2", "--pids-limit", "512"),
)


@dataclass(frozen=True)
class Taken:
    """Wall seconds until the last one runs, and CPU seconds of Docker and of who asked it."""

    wall: float
    docker: float
    asking: float


def docker_pids() -> dict[str, list[int]]:
    """Docker's own processes on this machine, by what they are."""
    found: dict[str, list[int]] = {"dockerd": [], "containerd": [], "shim": []}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                name = (folder / "comm").read_text().strip()
            except OSError:
                continue
            kind = "shim" if name.startswith("containerd-shim") else name
            if kind in found:
                found[kind].append(int(folder.name))
    return found


def docker_cpu() -> float:
    """CPU seconds of the daemon and containerd so far, with those of ended children, and of the living shims."""
    pids = docker_pids()
    seconds = sum(map(cpu_seconds, [*pids["dockerd"], *pids["containerd"], *pids["shim"]]))
    tick = os.sysconf("SC_CLK_TCK")
    for pid in (*pids["dockerd"], *pids["containerd"], *pids["shim"]):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        seconds += (int(fields[13]) + int(fields[14])) / tick
    return seconds


def asking_cpu() -> float:
    """CPU seconds of this process and of the commands that it has run."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


async def timed(work: Callable[[], Awaitable[object]]) -> Taken:
    docker, asking, begin = docker_cpu(), asking_cpu(), time.perf_counter()
    await work()
    wall = time.perf_counter() - begin
    return Taken(wall, docker_cpu() - docker, asking_cpu() - asking)


def run_plain(image: str) -> None:
    subprocess.run([*PLAIN, image, "sleep", "600"], stdout=subprocess.DEVNULL, check=True)


def remove_plain() -> None:
    listed = subprocess.run(
        ["docker", "ps", "-aq", "--filter", f"label={LABEL}"], capture_output=True, text=True, check=True
    )
    if names := listed.stdout.split():
        subprocess.run(["docker", "rm", "-f", *names], stdout=subprocess.DEVNULL, check=True)


async def plain(image: str, count: int, at_once: int) -> Taken:
    """`docker run` so often, so many of them at once."""

    def work() -> None:
        with ThreadPoolExecutor(at_once) as threads:
            list(threads.map(lambda _: run_plain(image), range(count)))

    try:
        return await timed(lambda: asyncio.to_thread(work))
    finally:
        await asyncio.to_thread(remove_plain)


def repository(folder: Path) -> tuple[Path, str]:
    """A mirror to clone, and its revision."""
    source = folder / "source"
    source.mkdir()
    for number in range(FILES):
        (source / f"file{number}.py").write_text(f"value = {number}\n" * 100)
    somebody = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "-A"], [*somebody, "commit", "-qm", "one"]):
        subprocess.run(["git", *arguments], cwd=source, check=True)
    return folder / "mirror.git", mirror_repository(source, folder / "mirror.git", "HEAD", Dirt.REFUSE)


def megabytes(kind: str) -> float:
    return sum(map(resident_mb, docker_pids()[kind]))


@dataclass
class Measured:
    """Starts and ends, what stands takes, and megabytes of memory that the last start brought."""

    starts: list[Taken] = field(default_factory=list)
    ends: list[Taken] = field(default_factory=list)
    standing: list[tuple[str, Taken]] = field(default_factory=list)
    shims: float = 0.0
    ours: float = 0.0


async def one_round(kind: DockerSandboxes, revision: str, count: int, into: Measured, *, standing: bool) -> None:
    """Start so many sandboxes at once, look at them while they stand, and end them."""
    boxes: list[Sandbox] = []
    before = megabytes("shim"), resident_mb(os.getpid())

    async def start() -> None:
        boxes.extend(await asyncio.gather(*(kind.create(f"1.{n}", revision) for n in range(1, count + 1))))

    async def end() -> None:
        await asyncio.gather(*(box.close() for box in boxes))

    into.starts.append(await timed(start))
    into.shims = megabytes("shim") - before[0]
    if standing:
        into.standing.append(("nothing under way", await timed(lambda: asyncio.sleep(STANDING))))
        working = [asyncio.create_task(box.run("sleep 600", seconds=600.0)) for box in boxes]
        await asyncio.sleep(STANDING)
        into.standing.append(("a command in each", await timed(lambda: asyncio.sleep(STANDING))))
        into.ours = resident_mb(os.getpid()) - before[1]
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
    into.ends.append(await timed(end))


async def sandboxes(folder: Path, image: str, count: int, rounds: int) -> Measured:
    mirror, revision = repository(folder)
    made = folder / "runs" / "bench" / "sandboxes"
    made.mkdir(parents=True)
    host = Host("", os.environ)
    kind = DockerSandboxes("bench", made, mirror, DockerSettings(image=image), os.environ, host=host)
    measured = Measured()
    try:
        await kind.prepare()
        for number in range(rounds):
            await one_round(kind, revision, count, measured, standing=number == rounds - 1)
    finally:
        await kind.remove()
        host.close()
    return measured


def row(name: str, taken: Sequence[Taken], count: int, beside: float, *, docker: bool = True) -> str:
    wall, used, asking = (
        statistics.median(getattr(one, part) for one in taken) for part in ("wall", "docker", "asking")
    )
    per = 1000 / count
    theirs = f"{used * per:.0f}" if docker else "–"
    return f"| {name} | {wall:.2f} | {wall / beside:.2f} | {wall * per:.0f} | {theirs} | {asking * per:.0f} |"


async def measure(image: str, count: int, rounds: int) -> None:
    loops: list[Taken] = []
    at_once: list[Taken] = []
    await plain(image, 1, 1)
    for _ in range(rounds):
        loops.append(await plain(image, count, 1))
        at_once.append(await plain(image, count, count))
    with tempfile.TemporaryDirectory() as folder:
        ours = await sandboxes(Path(folder), image, count, rounds)
    beside = statistics.median(one.wall for one in loops)
    print(f"{count} containers, median of {rounds}; load {os.getloadavg()[0]:.1f}\n")
    print("| | s | × the loop | ms each | Docker's CPU ms each | asking, CPU ms each |")
    print("| --- | --- | --- | --- | --- | --- |")
    print(row("`docker run` in a loop", loops, count, beside))
    print(row("`docker run`, all at once", at_once, count, beside))
    print(row("sandboxes with their clones, all at once", ours.starts, count, beside))
    # What a shim has used goes with it, so that of an end nothing can be said.
    print(row("their end", ours.ends, count, beside, docker=False))
    print()
    for name, taken in ours.standing:
        docker, asking = (100 * cpu / taken.wall for cpu in (taken.docker, taken.asking))
        print(f"{name}: Docker {docker:.1f} % of a processor, this process {asking:.1f} %")
    print(f"memory: {ours.shims / count:.1f} MB of shim each, {ours.ours / count:.2f} MB of this process each")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--containers", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--image", default=IMAGE)
    options = parser.parse_args()
    host = Host("", os.environ)
    try:
        why = "" if host.has(options.image) else f"the Docker engine has no image {options.image}"
    except HostError as error:
        why = str(error)
    finally:
        host.close()
    if why:
        print(f"not measured: {why}")
        return
    asyncio.run(measure(options.image, options.containers, options.rounds))


if __name__ == "__main__":
    main()
