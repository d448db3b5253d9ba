"""What a run's Docker containers are made of and what they may use: plain data from the task file."""

from dataclasses import dataclass

GIB = 1 << 30

KEEPER = 65534
"""The user that a container's own process runs as: nobody whom a subagent could be, or it could end the container."""

ROOT = "/workspace/work"
"""Where a container has the clone."""


@dataclass(frozen=True)
class DockerSettings:
    """The containers of one run. Every limit is for one container, that is, for one subagent."""

    image: str = ""
    """The image's name. With a Dockerfile it is the name that the built image gets, "" is one of ours."""
    dockerfile: str = ""
    """The path of a Dockerfile that the image is built from; its folder is the context. "" is none."""
    build_arguments: tuple[tuple[str, str], ...] = ()
    """Names and values for the Dockerfile's `ARG`s."""
    install: tuple[str, ...] = ()
    """Lines of a Dockerfile that put what the agent needs on top of the image; the engine's to say."""
    memory: int = 4 * GIB
    """Bytes, swap included."""
    cpus: float = 2.0
    """Processors, in parts of one."""
    pids: int = 512
    """Processes and threads."""
    disk: int = 0
    """Bytes that the workspace may hold, where the engine can hold it to that; 0 is no limit."""
    runtime: str = ""
    """The container runtime (`runsc`, `kata`), "" for the engine's own."""
    hosts: tuple[str, ...] = ()
    """Engines to spread the containers over: Docker contexts or addresses; () is the usual one."""
    user: str = "1000:1000"
    """Number of the user and of the group that programs run as; neither is 0, and the user not KEEPER."""
    read_only: bool = True
    """Whether the image's own files can't be written to: only the workspace and /tmp can."""

    @property
    def ids(self) -> tuple[int, int]:
        """User and group as numbers. ValueError when they are none, or root's, or the keeper's."""
        user, _, group = self.user.partition(":")
        numbers = int(user), int(group or user)
        if min(numbers) < 1 or max(numbers) >= 1 << 31 or numbers[0] == KEEPER:
            raise ValueError(f"{self.user!r} is no user that programs may run as: say numbers, such as 1000:1000")
        return numbers
