"""One subagent's container, and what is done in it."""

from collections.abc import Mapping, Sequence

from backends.sandboxes.docker.stream import Stream
from backends.sandboxes.protocol import OUTPUT_CAP, Executed


class DockerSandbox:
    """A container with a workspace that outlives it. See `Sandbox`."""

    @property
    def handle(self) -> str:
        """The name of its workspace's volume."""
        raise NotImplementedError

    async def run(
        self, command: str, *, seconds: float, cap: int = OUTPUT_CAP, environment: Mapping[str, str] | None = None
    ) -> Executed:
        """See `Sandbox.run`."""
        raise NotImplementedError

    async def stream(self, argv: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Stream:
        """Start a program with streams for its input and output. It works in the clone, as the subagent's user, with
        the environment of every command. SandboxError when it can't be started."""
        raise NotImplementedError

    async def read(self, path: str) -> bytes:
        """See `Sandbox.read`."""
        raise NotImplementedError

    async def write(self, path: str, data: bytes) -> None:
        """See `Sandbox.write`."""
        raise NotImplementedError

    async def patch(self) -> bytes:
        """See `Sandbox.patch`."""
        raise NotImplementedError

    async def apply(self, patch: bytes) -> None:
        """See `Sandbox.apply`."""
        raise NotImplementedError

    async def interrupt(self) -> None:
        """See `Sandbox.interrupt`."""
        raise NotImplementedError

    async def close(self) -> None:
        """See `Sandbox.close`."""
        raise NotImplementedError
