"""Whether the subagents' commands run in containers: settled before a run is ordered, and said to the operator."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.failure import CommandError, Exit
from store.domain.docker import DockerSettings
from store.domain.task import SandboxKind, Task

BUILTIN = "builtin"
"""The agent whose commands alone run in a sandbox."""
BASES = ("python:3.11-slim", "multitrack/debian:bookworm")
"""What the demo's image is built on: the first that is on the engine. The second is what CI makes where nothing can be
pulled."""


def settled(task: Task, environ: Mapping[str, str]) -> tuple[Task, list[str]]:
    """The task with `docker` or `local` in place of `auto`, and what to tell the operator: which, and why.

    CommandError with what is wrong and what to do, when containers are asked for, or could be, and none can be made.
    """
    if task.sandbox is SandboxKind.LOCAL:
        return task, []
    if not (task.docker.image or task.docker.dockerfile):
        if task.sandbox is SandboxKind.DOCKER:
            raise CommandError("sandbox.kind is docker, which needs an image: docker.image, or docker.dockerfile.")
        return _locally(task, "[docker] names no image")
    from backends.sandboxes.docker import Host, HostError, ready

    hosts = [Host(name, environ) for name in task.docker.hosts or ("",)]
    try:
        answering, silent = [], []
        for host in hosts:
            try:
                host.client()
                answering.append(host)
            except HostError as error:
                silent.append(str(error))
        if not answering:
            if task.sandbox is SandboxKind.DOCKER:
                raise CommandError("\n".join(f"{said}." for said in silent), Exit.ENVIRONMENT)
            return _locally(task, "; ".join(silent))
        found = ready(task.docker, environ, hosts=answering)
    finally:
        for host in hosts:
            host.close()
    if wrong := [finding for finding in found if finding.level == "fail"]:
        raise CommandError("\n".join(_told(one.said, one.todo) for one in wrong), Exit.ENVIRONMENT)
    told = [f"Left out: {said}." for said in silent]
    told += [_told(one.said, one.todo) for one in found if one.level == "warn"]
    return replace(task, sandbox=SandboxKind.DOCKER), [f"Sandboxes: docker, {made_of(task.docker)}.", *told]


def made_of(settings: DockerSettings) -> str:
    """What the containers are made of, and where, in a few words."""
    image = f"built from {settings.dockerfile}" if settings.dockerfile else settings.image
    return image + (f", on {', '.join(settings.hosts)}" if settings.hosts else "")


def demo_settled(task: Task, base: str, hosts: Sequence[str], environ: Mapping[str, str]) -> tuple[Task, list[str]]:
    """The same for a demo, whose image is built on a base: the given one, or else one that is there. Nothing is
    fetched from a network that nobody asked for."""
    if task.sandbox is SandboxKind.LOCAL:
        return task, []
    from backends.practice import DOCKERFILE
    from backends.sandboxes.docker import Host, HostError

    if not base:
        host = Host(hosts[0] if hosts else "", environ)
        try:
            base = next((name for name in BASES if host.has(name)), "")
        except HostError:
            base = BASES[0]
        finally:
            host.close()
    if not base and task.sandbox is SandboxKind.AUTO:
        why = (
            f"Docker answers, but has no {BASES[0]} yet: `docker pull {BASES[0]}`, or --sandbox docker, which pulls it"
        )
        return _locally(task, why)
    settings = DockerSettings(
        dockerfile=str(DOCKERFILE), build_arguments=(("BASE", base or BASES[0]),), hosts=tuple(hosts)
    )
    return settled(replace(task, docker=settings), environ)


def _locally(task: Task, why: str) -> tuple[Task, list[str]]:
    """The task without containers. CommandError for an agent that asks nobody before it does what it likes: that it may
    do so on this machine, the operator says, and not chance."""
    if task.agent != BUILTIN:
        raise CommandError(
            f"{task.agent.split()[0]} does as it likes wherever it runs, and there would be no container around it "
            f'({why}). Put that right, or say sandbox.kind = "local" to let it work on this machine.',
            Exit.ENVIRONMENT,
        )
    return replace(task, sandbox=SandboxKind.LOCAL), [f"Sandboxes: local, which is no wall ({why})."]


def _told(said: str, todo: str) -> str:
    return f"{said}: {todo}." if todo else f"{said}."
