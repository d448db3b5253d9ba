"""The Docker sandbox: every subagent in a container of its own, with nothing of the host's in it. It is a wall.

The face of the package. It imports cheaply: the SDK is loaded when an engine is first spoken to.
"""

from backends.sandboxes.docker.hosts import Host, HostError, malformed
from backends.sandboxes.docker.images import BuiltImage, built_images, remove_images
from backends.sandboxes.docker.placing import PlacedSandboxes
from backends.sandboxes.docker.readiness import Finding, ready
from backends.sandboxes.docker.sandbox import DockerSandbox
from backends.sandboxes.docker.sandboxes import DockerSandboxes
from backends.sandboxes.docker.stream import Stream

__all__ = [
    "BuiltImage",
    "DockerSandbox",
    "DockerSandboxes",
    "Finding",
    "Host",
    "HostError",
    "PlacedSandboxes",
    "Stream",
    "built_images",
    "malformed",
    "ready",
    "remove_images",
]
