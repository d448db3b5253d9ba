"""The image that a run's containers are made from: the one that is named, or one that is built from a Dockerfile."""

import hashlib
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from backends.sandboxes.docker.engine import Engine, MissingError, in_thread, plain
from backends.sandboxes.protocol import SandboxError
from store.domain.docker import DockerSettings
from store.domain.safe_text import safe_line

LABEL_IMAGE = "multitrack.image"
TASK, AGENT = "multitrack/task", "multitrack/agent"
OURS = (f"{TASK}:", f"{AGENT}:")
"""How names begin that we give, and nobody else does."""
_LINE = 300
_KEPT = 12
"""Lines of a build's output that are shown when it fails."""

Say = Callable[[str], None]
"""Takes a line that tells how far something is; called from another thread."""


async def image_of(engine: Engine, settings: DockerSettings, say: Say) -> str:
    """The id of the image, which is built first where there is a Dockerfile. SandboxError says what is wrong."""
    if settings.dockerfile:
        return await build(engine, Path(settings.dockerfile), tag(settings), dict(settings.build_arguments), say)
    if not settings.image:
        raise SandboxError("no image is named for the containers: say docker.image or docker.dockerfile")
    try:
        found: Mapping[str, Any] = await engine.call(partial(_inspect, settings.image))
    except MissingError:
        raise SandboxError(missing(settings.image, engine.host.said)) from None
    return str(found["Id"])


def _inspect(image: str, api: Any) -> Any:
    return api.inspect_image(image)


def missing(image: str, engine: str) -> str:
    """That an image is not there, and what to do."""
    return (
        f"{engine} has no image {image}: bring it there (`docker pull {image}`), or name a Dockerfile to build it from "
        "(docker.dockerfile)"
    )


def tag(settings: DockerSettings) -> str:
    """What a built image is called: as the settings say, or after the Dockerfile's place."""
    if settings.image:
        return settings.image
    place = hashlib.blake2b(settings.dockerfile.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
    return f"{TASK}:{place}"


async def build(engine: Engine, dockerfile: Path | bytes, name: str, arguments: Mapping[str, str], say: Say) -> str:
    """Build an image; its id. The context is the Dockerfile's folder, or nothing when its text is given. Cancelled, the
    build is left to itself. SandboxError with the last words of a build that failed."""
    return await in_thread(_build, engine, dockerfile, name, arguments, say)


def _build(engine: Engine, dockerfile: Path | bytes, name: str, arguments: Mapping[str, str], say: Say) -> str:
    lines: list[str] = []
    context: dict[str, Any]
    if isinstance(dockerfile, bytes):
        import io

        context = {"fileobj": io.BytesIO(dockerfile)}
    else:
        if not dockerfile.is_file():
            raise SandboxError(f"there is no Dockerfile {dockerfile}")
        context = {"path": str(dockerfile.parent), "dockerfile": dockerfile.name}

    def work(api: Any) -> str:
        made = ""
        for step in api.build(
            **context,
            tag=name,
            buildargs=dict(arguments),
            labels={LABEL_IMAGE: "built"},
            rm=True,
            forcerm=True,
            decode=True,
        ):
            if error := step.get("error"):
                said = "\n".join(f"  {line}" for line in lines[-_KEPT:])
                raise SandboxError(f"the image {name} could not be built: {_wrong(engine, error)}\n{said}".rstrip())
            for line in _spoken(step):
                lines.append(line)
                say(line)
            made = step.get("aux", {}).get("ID", "") or made
        return made or str(api.inspect_image(name)["Id"])

    return engine.now(work)


def _wrong(engine: Engine, error: str) -> str:
    said = safe_line(error, _LINE)
    told = plain(said, engine.host.said)
    return said if told.endswith(f"says: {said}") else told


def _spoken(step: Mapping[str, Any]) -> list[str]:
    """The lines of one message of a build; a progress bar's last state counts."""
    text = step.get("stream") or step.get("status") or ""
    lines = (re.split(r"\r(?!\n)", line)[-1] for line in str(text).split("\n"))
    return [safe_line(line, _LINE) for line in lines if line.strip()]
