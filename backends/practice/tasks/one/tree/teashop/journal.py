"""An append-only file that a service writes before it answers."""

import asyncio
import json
import os


class Journal:
    """Records on disk, one JSON line each; in memory only when there is no path."""

    def __init__(self, path=None):
        self.path = path
        self.records = []

    async def append(self, record):
        """Write a record; returns when it is on the disk."""
        await asyncio.to_thread(self.write, json.dumps(record))
        self.records.append(record)

    def write(self, line):
        if self.path is None:
            return
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
