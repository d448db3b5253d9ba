"""What an agent needs, put on top of the image that a run's containers are made from."""

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from backends.sandboxes.docker.engine import Engine, MissingError
from backends.sandboxes.docker.hosts import HostError
from backends.sandboxes.docker.image import AGENT, Say, build, image_of, tag
from backends.sandboxes.protocol import SandboxError
from store.domain.docker import DockerSettings


async def layered(engine: Engine, settings: DockerSettings, say: Say) -> str:
    """The id of the image with `settings.install` on top, which is built where it isn't there yet. SandboxError says
    what is wrong."""
    image = await image_of(engine, settings, say)
    if not settings.install:
        return image
    name = name_of(image, settings.install)
    try:
        return await engine.call(partial(_id_of, name))
    except MissingError:
        say(f"Installing the agent on {tag(settings)}: done once for each image.")
        try:
            return await build(engine, text(settings.install), name, {"BASE": tag(settings)}, say)
        except HostError:
            raise
        except SandboxError as error:
            # Its lines are for Debian, and a registry has to be reached.
            todo = "take an image of Debian's or Ubuntu's, or one that has the agent"
            raise SandboxError(f"the agent could not be installed on {tag(settings)}: {todo} ({error})") from error


def _id_of(name: str, api: Any) -> str:
    return str(api.inspect_image(name)["Id"])


def text(install: Sequence[str]) -> bytes:
    """The Dockerfile."""
    return "\n".join(["ARG BASE", "FROM $BASE", "USER root", *install, ""]).encode()


def name_of(image: str, install: Sequence[str]) -> str:
    """What the image is called, by what it is made of: the same for the same."""
    made_of = "\n".join([image, *install]).encode()
    return f"{AGENT}:{hashlib.blake2b(made_of, digest_size=10).hexdigest()}"
