"""Whether containers can be made, looked at before a run starts: what is missing, and what to do about it."""

import contextlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from backends.sandboxes.docker.causes import bytes_said
from backends.sandboxes.docker.container import LABEL_ENGINE, LABEL_KIND, configuration
from backends.sandboxes.docker.engine import Engine, MissingError
from backends.sandboxes.docker.hosts import Host
from backends.sandboxes.docker.image import missing, tag
from backends.sandboxes.docker.scripts import PROBE, WORKSPACE
from backends.sandboxes.protocol import SandboxError
from store.domain.docker import GIB, DockerSettings
from store.domain.safe_text import safe_line

GIT = (2, 25)
"""The oldest Git whose commands are those that we give."""
STALE = 600.0
"""Seconds after which what a look at an engine has made there is nobody's any more."""
REMOVED_WITHIN = 10
"""Seconds that an engine may take to remove a container."""
FULL, SCARCE = GIB // 4, 2 * GIB
"""Bytes free on an engine's disk below which no run can start, and below which it is said."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `todo` says what to do, "" when nothing. A run can start unless one is `fail`."""

    level: Literal["ok", "warn", "fail"]
    name: str
    said: str
    todo: str = ""


def ready(
    settings: DockerSettings, environ: Mapping[str, str], *, hosts: Sequence[Host] | None = None
) -> list[Finding]:
    """What is found on each of the settings' hosts, in order; `hosts` are those when they are already at hand.

    An image that is built from a Dockerfile is only looked at when it is there. Takes a second or two a host; blocks.
    Nothing that it makes is left.
    """
    found = []
    given = hosts is not None
    for host in hosts if hosts is not None else [Host(name, environ) for name in settings.hosts or ("",)]:
        try:
            found += [_placed(one, host) for one in _host(settings, Engine(host))]
        except SandboxError as error:
            found.append(_placed(Finding("fail", "docker", *_todo(str(error))), host))
        finally:
            if not given:
                host.close()
    return found


def _placed(finding: Finding, host: Host) -> Finding:
    if not host.name or host.name in finding.said:
        return finding
    return replace(finding, said=f"{finding.said} (on {host.name})")


def _todo(words: str) -> tuple[str, str]:
    """A sentence as what is wrong, and what to do: it is after the first colon where there is one."""
    said, _, todo = words.partition(": ")
    return said, todo


def _host(settings: DockerSettings, engine: Engine) -> Iterator[Finding]:
    info: dict[str, Any] = engine.now(lambda api: api.info())
    # Not every engine says when something was made.
    with contextlib.suppress(SandboxError, KeyError, ValueError, TypeError):
        engine.now(lambda api: _clear(api, _at(info["SystemTime"]) - STALE))
    yield from _runtime(settings, info)
    yield from _limits(settings, info)
    try:
        settings.ids  # noqa: B018 - whether it raises
    except ValueError as error:
        yield Finding("fail", "user", *_todo(str(error)))
        return
    yield from _quota(settings, engine)
    image = settings.image
    if settings.dockerfile:
        if not Path(settings.dockerfile).is_file():
            yield Finding("fail", "image", f"there is no Dockerfile {settings.dockerfile}", "name it as it is called")
            return
        image = tag(settings)
    if not image:
        yield Finding("fail", "image", "none is named", "say docker.image or docker.dockerfile")
        return
    try:
        size = engine.now(lambda api: _size(api, image))
    except MissingError:
        if settings.dockerfile:
            yield Finding("ok", "image", f"will be built from {settings.dockerfile}")
        else:
            yield Finding("fail", "image", *_todo(missing(image, engine.host.said)))
        return
    if any(_runtime(settings, info)):
        return
    # One that was built before may be another by the time it is used.
    yield from _image(settings, engine, image, size, hard=not settings.dockerfile)


def _size(api: Any, image: str) -> int:
    return int(api.inspect_image(image).get("Size") or 0)


def _runtime(settings: DockerSettings, info: Mapping[str, Any]) -> Iterator[Finding]:
    known = sorted(info.get("Runtimes") or {})
    if settings.runtime and settings.runtime not in known and not settings.runtime.startswith("io.containerd."):
        todo = f"install it and name it in the engine's daemon.json; it has {', '.join(known)}"
        yield Finding("fail", "runtime", f"the engine has no runtime {settings.runtime}", todo)


def _limits(settings: DockerSettings, info: Mapping[str, Any]) -> Iterator[Finding]:
    lacking = [
        name
        for name, member in (("memory", "MemoryLimit"), ("processes", "PidsLimit"), ("processors", "CpuCfsQuota"))
        if info.get(member) is False
    ]
    if lacking:
        yield Finding(
            "warn",
            "limits",
            f"the engine can't limit {' or '.join(lacking)}",
            "give it those control groups: a rootless engine needs systemd to delegate them",
        )
    total = int(info.get("MemTotal") or 0)
    if total and settings.memory > total:
        said = f"a container may use {bytes_said(settings.memory)}, and the engine's machine has {bytes_said(total)}"
        yield Finding("warn", "limits", said, "lower docker.memory: at this one, the machine runs out of memory first")


def _quota(settings: DockerSettings, engine: Engine) -> Iterator[Finding]:
    """Whether the engine can hold a workspace to a size."""
    name = f"multitrack-probe-{secrets.token_hex(4)}"

    def work(api: Any) -> None:
        api.create_volume(name, labels=_labels(), driver_opts={"size": str(settings.disk or GIB)})
        api.remove_volume(name, force=True)

    try:
        engine.now(work)
    except SandboxError as error:
        if "quota" not in str(error).lower():
            yield Finding("fail", "disk", *_todo(str(error)))
        elif settings.disk:
            yield Finding(
                "warn",
                "disk limit",
                f"the engine can't hold a workspace to {bytes_said(settings.disk)}",
                'put its folder on XFS mounted with pquota, or say docker.disk = "none"',
            )
        else:
            yield Finding("ok", "disk limit", "none, and the engine can't hold a workspace to one")
        return
    yield Finding("ok", "disk limit", bytes_said(settings.disk) if settings.disk else "none: docker.disk sets one")


def fit(settings: DockerSettings, engine: Engine, image: str) -> None:
    """Look at an image that was built just now. SandboxError when no subagent can work on it. Blocks."""
    for one in _image(settings, engine, image, 0, hard=True):
        if one.level == "fail":
            raise SandboxError(f"{one.said}: {one.todo}" if one.todo else one.said)


def _image(settings: DockerSettings, engine: Engine, image: str, size: int, *, hard: bool) -> Iterator[Finding]:
    """What is in the image, and how much room there is, as a container on it says."""
    wrong: Literal["fail", "warn"] = "fail" if hard else "warn"
    called = f"the image built from {settings.dockerfile}" if settings.dockerfile else settings.image
    try:
        said = engine.now(lambda api: _probe(api, settings, image))
    except SandboxError as error:
        yield Finding(wrong, "image", *_todo(f"no container can be started from {called}: {error}"))
        return
    if "shell" not in said:
        yield Finding(wrong, "image", f"{called} has no working shell", "take one with a POSIX shell")
        return
    git = tuple(int(number) for number in re.findall(r"\d+", said.get("git", ""))[:2])
    if not git:
        yield Finding(wrong, "image", f"{called} has no Git", "install it in the image: every workspace is a clone")
    elif git < GIT:
        need = ".".join(str(number) for number in GIT)
        yield Finding(wrong, "image", f"{called} has {said['git']}, and {need} is needed", "take a newer one")
    elif lacking := said.get("lacks", ""):
        yield Finding(wrong, "image", f"{called} lacks {lacking}", "install coreutils, findutils and grep in it")
    else:
        yield Finding("ok", "image", f"{called}, {said['git']}, {size / 1e6:.0f} MB")
    free = int(said.get("free") or 0) * 1024
    if "free" in said and free < SCARCE:
        level: Literal["fail", "warn"] = "fail" if free < FULL else "warn"
        words = f"the engine's disk has {bytes_said(free)} left"
        yield Finding(level, "disk", words, "make room there, such as with `docker system prune`")


def _labels() -> dict[str, str]:
    return {LABEL_KIND: "probe", LABEL_ENGINE: str(os.getpid())}


def _clear(api: Any, before: float) -> None:
    """Remove what was made before a time for looks that were killed over it."""
    probes = {"label": f"{LABEL_KIND}=probe"}
    for one in api.containers(all=True, filters=probes):
        if one["Created"] < before:
            api.remove_container(one["Id"], force=True, v=True)
    for one in api.volumes(filters=probes)["Volumes"] or ():
        if _at(one["CreatedAt"]) < before:
            api.remove_volume(one["Name"])


def _at(said: str) -> float:
    """A time of an engine's in Unix seconds."""
    return datetime.fromisoformat(said).timestamp()


def _probe(api: Any, settings: DockerSettings, image: str) -> dict[str, str]:
    """What a container says of itself: pairs of a name and a value. It removes itself."""
    config = configuration(api, settings, image, cpus=1, binds={}, labels=_labels(), environ={})
    config["Entrypoint"] = ["/bin/sh", "-c", PROBE]
    config["Volumes"] = {WORKSPACE: {}}
    config["HostConfig"]["AutoRemove"] = True
    made = api.create_container_from_config(config)["Id"]
    try:
        heard = api.attach(made, stdout=True, stderr=True, stream=True)
        api.start(made)
        said = b"".join(heard).decode(errors="replace")
    finally:
        with contextlib.suppress(Exception):
            api.remove_container(made, force=True, v=True)
        with contextlib.suppress(Exception):
            # It may be at that itself.
            api.wait(made, timeout=REMOVED_WITHIN, condition="removed")
    pairs = (line.partition("=") for line in said.splitlines())
    return {name: safe_line(value.strip(), 100) for name, equals, value in pairs if equals}
