"""The Docker sandboxes of one run on one host."""

from collections.abc import Callable, Mapping
from pathlib import Path

from backends.sandboxes.docker.hosts import Host
from backends.sandboxes.docker.sandbox import DockerSandbox
from store.domain.docker import DockerSettings


def _unsaid(_line: str) -> None:
    pass


class DockerSandboxes:
    """See `Sandboxes`. `folder` is the run's own for workspaces, in a folder of the run in a folder of all runs;
    `mirror` the bare clone of the operator's repository; `environ` the operator's environment, of which nothing goes
    into a container. `over` says of a run's name whether it has ended or is gone, so that its workspaces may go."""

    wall = True

    def __init__(
        self,
        run: str,
        folder: Path,
        mirror: Path,
        settings: DockerSettings,
        environ: Mapping[str, str],
        *,
        host: Host | None = None,
        over: Callable[[str], bool] | None = None,
    ) -> None:
        raise NotImplementedError

    async def prepare(self, said: Callable[[str], None] = _unsaid) -> None:
        """Build the image where there is a Dockerfile, saying how far it is a line at a time, and bring the mirror to
        the engine. `create` does it otherwise. SandboxError says what is wrong."""

    async def create(self, name: str, revision: str) -> DockerSandbox:
        """See `Sandboxes.create`."""
        raise NotImplementedError

    async def reopen(self, name: str, handle: str) -> DockerSandbox:
        """See `Sandboxes.reopen`. Where the container is gone, a new one goes on with its workspace."""
        raise NotImplementedError

    async def sweep(self) -> int:
        """Remove what earlier engines of this home left on the host: this run's containers, those of runs whose engine
        is dead, and the workspaces of runs that are over; how many containers there were of this run."""
        raise NotImplementedError

    async def remove(self) -> None:
        """Remove all of the run: containers, workspaces, mirror; and let go of the engine. Safe to call twice."""
        raise NotImplementedError
