"""Serve the scripted model: prints `{"port": …}` once it answers, and ends when its standard input closes."""

import argparse
import asyncio
import json
import os
import sys

from backends.practice.model.server import start


async def _until_closed() -> None:
    """Wait for the end of standard input: whoever started this has gone, or wants it to go."""
    loop = asyncio.get_running_loop()
    closed = asyncio.Event()

    def readable() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            closed.set()

    try:
        loop.add_reader(sys.stdin.fileno(), readable)
    except (PermissionError, OSError):  # a file, such as /dev/null, is at its end from the start
        return
    await closed.wait()


async def _serve(seed: int, pace: float, port: int) -> None:
    server = await start(seed=seed, pace=pace, port=port)
    sys.stdout.write(json.dumps({"port": server.sockets[0].getsockname()[1]}) + "\n")
    sys.stdout.flush()
    await _until_closed()
    server.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m backends.practice.model", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="what is left to chance follows from it")
    parser.add_argument("--pace", type=float, default=0.0, help="events a second; 0 is as fast as it goes")
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 is any that is free")
    given = parser.parse_args()
    asyncio.run(_serve(given.seed, given.pace, given.port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
