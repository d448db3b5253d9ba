"""Whether containers can be made, looked at before a run starts: what is missing, and what to do about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from backends.sandboxes.docker.hosts import Host
from store.domain.docker import DockerSettings


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

    An image that is built from a Dockerfile is only looked for. Takes a second or two a host; blocks. Nothing that it
    makes is left.
    """
    raise NotImplementedError
