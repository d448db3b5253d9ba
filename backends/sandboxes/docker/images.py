"""The images that were built for runs: what they take on an engine's disk, and which of them a run still needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backends.sandboxes.docker.container import LABEL_USES
from backends.sandboxes.docker.engine import BusyError, Engine, MissingError
from backends.sandboxes.docker.hosts import Host
from backends.sandboxes.docker.image import LABEL_IMAGE, OURS

_UNNAMED = "<none>:<none>"


@dataclass(frozen=True)
class BuiltImage:
    """One of them. `names` is empty when a later build took its name. `created` is when it was built, in seconds since
    the epoch; `own` are the bytes that no other image has. A run that `used` it has not ended, or is not cleared."""

    id: str
    names: tuple[str, ...]
    created: float
    own: int
    used: bool


def built_images(host: Host) -> list[BuiltImage]:
    """Those of an engine, the newest first. What a person gave another name is that person's, and no part of it.
    SandboxError when the engine can't say; blocks."""
    return Engine(host).now(_built)


def remove_images(host: Host, images: Sequence[BuiltImage]) -> tuple[list[BuiltImage], int]:
    """Remove images; those that are gone now, and how many bytes that gave back. One that was begun to be used
    meanwhile stays. SandboxError as `built_images`; blocks."""
    engine = Engine(host)
    before, gone = engine.now(_taken), []
    # What was built later may be built on what was built before.
    for image in sorted(images, key=lambda one: one.created, reverse=True):
        try:
            for name in image.names or (image.id,):
                engine.now(lambda api, name=name: api.remove_image(name))  # type: ignore[misc] # mypy can't infer it
            gone.append(image)
        except MissingError:
            gone.append(image)
        except BusyError:
            continue
    return gone, max(before - engine.now(_taken), 0)


def _built(api: Any) -> list[BuiltImage]:
    in_use = {one["ImageID"] for one in api.containers(all=True)}
    volumes = api.volumes(filters={"label": LABEL_USES})["Volumes"] or ()
    in_use |= {one["Labels"][LABEL_USES] for one in volumes}
    found = []
    for one in _usage(api)["Images"] or ():
        names = tuple(name for name in one["RepoTags"] or () if name != _UNNAMED)
        if LABEL_IMAGE in (one["Labels"] or {}) and all(name.startswith(OURS) for name in names):
            own = max(int(one["Size"]) - int(one["SharedSize"]), 0)
            found.append(BuiltImage(one["Id"], names, float(one["Created"]), own, one["Id"] in in_use))
    return sorted(found, key=lambda one: one.created, reverse=True)


def _taken(api: Any) -> int:
    """Bytes that all images take together."""
    return int(_usage(api)["LayersSize"] or 0)


def _usage(api: Any) -> dict[str, Any]:
    # Not the SDK's own `df`, which has the engine weigh containers and volumes as well.
    answer = api.get(f"{api.base_url}/v{api.api_version}/system/df", params={"type": "image"})
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found
