"""The images that tests of agents work on. Made once for each version of an agent, which takes minutes:
`python -m tests.images`, or `make images`, does it beforehand, and otherwise the tests do."""

import asyncio
import hashlib
import os
import sys
import time
from dataclasses import replace

from backends.agents.commands.declaration import Declaration
from backends.agents.commands.known import AIDER, CLAUDE_CODE, CODEX, MINI_SWE_AGENT, OPENCODE
from backends.sandboxes.docker import Host
from backends.sandboxes.docker.engine import Engine
from backends.sandboxes.docker.image import build
from backends.sandboxes.docker.layers import layered
from store.domain.docker import DockerSettings
from tests.dockerrig import IMAGE, lacking

SETTINGS = DockerSettings(image=IMAGE, memory=1 << 30, pids=256)
NODE = "RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null"


def on_node() -> DockerSettings:
    """Settings with an image that has Node, which three agents are installed with."""
    text = f"FROM {IMAGE}\n{NODE}\n"
    name = f"multitrack/test-node:{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"
    host = Host("", os.environ)
    try:
        if not host.has(name):
            asyncio.run(build(Engine(host), text.encode(), name, {}, print))
    finally:
        host.close()
    return replace(SETTINGS, image=name)


def installed(declaration: Declaration, settings: DockerSettings) -> DockerSettings:
    return replace(settings, install=declaration.install)


def main() -> int:
    if why := lacking():
        print(f"no images are made: {why}", file=sys.stderr)
        return 3 if os.environ.get("MULTITRACK_NEEDS_DOCKER") else 0
    host, node = Host("", os.environ), on_node()
    for declaration, settings in (
        (CLAUDE_CODE, node), (CODEX, node), (OPENCODE, node), (MINI_SWE_AGENT, SETTINGS), (AIDER, SETTINGS),
    ):  # fmt: skip
        began = time.monotonic()
        asyncio.run(layered(Engine(host), installed(declaration, settings), print))
        print(f"{declaration.name}: {time.monotonic() - began:.0f} s", flush=True)
    host.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
