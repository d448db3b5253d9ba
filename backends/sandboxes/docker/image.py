"""The image that a run's containers are made from: the one that is named, or one that is built from a Dockerfile."""

import hashlib
import re
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from backends.sandboxes.docker.engine import Engine, MissingError, in_thread, plain
from backends.sandboxes.docker.hosts import HostError
from backends.sandboxes.protocol import SandboxError
from store.domain.docker import DockerSettings
from store.domain.safe_text import drawn, safe_line

LABEL_IMAGE = "multitrack.image"
TASK, AGENT = "multitrack/task", "multitrack/agent"
OURS = (f"{TASK}:", f"{AGENT}:")
"""How names begin that we give, and nobody else does."""
_LINE = 300
_KEPT = 6
"""Lines that a failing step of a build printed last which are told with it."""
_NOISE = ("--->", "Removing intermediate container")
"""How lines begin that say what containers and images a build makes on its way, which tells nobody how far it is."""
_NOT_FETCHED = re.compile(
    r"pull access denied|manifest (?:for \S+ )?(?:unknown|not found)|repository does not exist|/v2/"
)

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
    printed: deque[str] = deque(maxlen=_KEPT)
    context: dict[str, Any]
    if isinstance(dockerfile, bytes):
        import io

        context, source = {"fileobj": io.BytesIO(dockerfile)}, ""
    else:
        if not dockerfile.is_file():
            raise SandboxError(f"there is no Dockerfile {dockerfile}")
        context = {"path": str(dockerfile.parent), "dockerfile": dockerfile.name}
        source = f" from {dockerfile}"

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
                raise SandboxError(_wrong(engine, error))
            for line in _spoken(step):
                if line.startswith("Step "):
                    # Of those before it nobody asks any more.
                    printed.clear()
                else:
                    printed.append(line)
                say(line)
            made = step.get("aux", {}).get("ID", "") or made
        return made or str(api.inspect_image(name)["Id"])

    try:
        return engine.now(work)
    except HostError:
        raise
    except SandboxError as error:
        last = f". It printed last: {' · '.join(printed)}" if printed else ""
        raise SandboxError(f"the image {name} could not be built{source}: {error}{last}") from error


def _wrong(engine: Engine, error: str) -> str:
    said = safe_line(error, _LINE)
    if _NOT_FETCHED.search(said):
        return (
            "an image that it begins with is not there and can't be fetched: bring it there with `docker pull` or "
            f"`docker load`, or begin with another ({said})"
        )
    told = plain(said, engine.host.said)
    return said if told.endswith(f"says: {said}") else told


def _spoken(step: Mapping[str, Any]) -> list[str]:
    """The lines of one message of a build; a progress bar's last state counts."""
    lines = drawn(str(step.get("stream") or step.get("status") or "")).split("\n")
    told = (safe_line(line, _LINE) for line in lines if not line.endswith("\r"))
    return [line for line in told if line and not line.startswith(_NOISE)]
