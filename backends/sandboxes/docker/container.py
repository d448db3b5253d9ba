"""What a sandbox's container is made of: names, labels, walls and limits, as plain data for the engine."""

import hashlib
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.sandboxes.docker.scripts import HOME, MIRRORS, ROOT, TMP, WORKSPACE
from backends.sandboxes.environment import FIXED, MARKER
from store.domain.docker import KEEPER, DockerSettings

LABEL_HOME = "multitrack.home"
LABEL_RUN = "multitrack.run"
LABEL_NAME = "multitrack.name"
LABEL_ENGINE = "multitrack.engine"
LABEL_KIND = "multitrack.kind"
LABEL_USES = "multitrack.uses"
"""On a volume: the id of the image that its run's containers are made from, and which so is still needed."""

_TMP_MOST = 1 << 30
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class Owner:
    """Whose something on an engine is: a home (see `home_digest`), a run, and the process that made it."""

    home: str
    run: str
    pid: int

    def labels(self, kind: str, name: str = "") -> dict[str, str]:
        """The labels of a container or a volume."""
        made = {LABEL_HOME: self.home, LABEL_RUN: self.run, LABEL_ENGINE: str(self.pid), LABEL_KIND: kind}
        return {**made, LABEL_NAME: name} if name else made

    def called(self, name: str) -> str:
        """What a sandbox's container and volume are called. ValueError when it can be no name."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a sandbox")
        return f"multitrack-{self.home[:8]}-{self.run}-{name}"


def home_digest(home: Path) -> str:
    """What tells one home from all others on an engine that several people use: its path, and its machine."""
    try:
        machine = Path("/etc/machine-id").read_text()
    except OSError:
        machine = ""
    told = "\0".join((machine.strip(), platform.node(), str(home)))
    return hashlib.blake2b(told.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def environment(run: str, name: str) -> dict[str, str]:
    """The environment of everything in the container, beside the image's own. Nothing of the operator's."""
    places = {"HOME": HOME, "TMPDIR": TMP, "GIT_CEILING_DIRECTORIES": WORKSPACE}
    return {**FIXED, **places, "LANG": "C.UTF-8", MARKER: f"{run}.{name}"}


def limits(settings: DockerSettings, cpus: int) -> dict[str, Any]:
    """What it may use, on an engine with so many processors."""
    return {
        "mem_limit": settings.memory,
        # With swap, so none.
        "memswap_limit": settings.memory,
        "nano_cpus": int(min(settings.cpus, cpus) * 1e9),
        "pids_limit": settings.pids,
    }


def walls(settings: DockerSettings) -> dict[str, Any]:
    """What keeps it in, as arguments of `create_host_config`."""
    return {
        "network_mode": "none",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "read_only": settings.read_only,
        "ipc_mode": "private",
        # Docker would copy the host's name servers and domains into the container.
        "dns": ["127.0.0.1"],
        "dns_search": ["."],
        "tmpfs": {"/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={min(settings.memory // 4, _TMP_MOST)}"},  # noqa: S108
        "log_config": {"Type": "none", "Config": {}},
        "init": True,
        **({"runtime": settings.runtime} if settings.runtime else {}),
    }


def configuration(
    api: Any,
    settings: DockerSettings,
    image: str,
    *,
    cpus: int,
    binds: Mapping[str, Mapping[str, str]],
    labels: Mapping[str, str],
    environ: Mapping[str, str],
) -> dict[str, Any]:
    """The whole of it, for `create_container_from_config`. Nothing of the host is mounted: binds name volumes."""
    made: dict[str, Any] = api.create_container_config(
        image,
        None,
        entrypoint=["sleep", "2147483647"],
        user=f"{KEEPER}:{KEEPER}",
        hostname="sandbox",
        working_dir=WORKSPACE,
        environment=dict(environ),
        labels=dict(labels),
        host_config=api.create_host_config(
            binds={volume: dict(how) for volume, how in binds.items()}, **limits(settings, cpus), **walls(settings)
        ),
        network_disabled=True,
        healthcheck={"test": ["NONE"]},
    )
    return made


def binds(workspace: str, mirror: str) -> dict[str, dict[str, str]]:
    """The volumes of a sandbox: its workspace to write, the run's mirror to read. What the image has there is not
    copied into them."""
    return {
        workspace: {"bind": WORKSPACE, "mode": "rw,nocopy"},
        mirror: {"bind": MIRRORS, "mode": "ro,nocopy"},
    }


FOLDERS = tuple(Path(place).name for place in (ROOT, HOME, TMP))
"""What a new workspace holds, each the subagent's own."""
