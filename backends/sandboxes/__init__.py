"""Sandboxes: where a subagent's tools run. The face of the trade: the protocol, the mirror, and patches as data.

A sandbox holds an independent clone of the repository at one revision. The harness makes one for each subagent, and a
fresh one for each check. Commands are shell commands, run in the root of the clone, each in a process group of its own.
The kinds of sandboxes are named by the engine alone: `backends.sandboxes.local`.
"""

from backends.sandboxes.git import mirror_repository, notices
from backends.sandboxes.patches import size, touched, without
from backends.sandboxes.patterns import Patterns
from backends.sandboxes.protocol import (
    FILE_CAP,
    OUTPUT_CAP,
    PATCH_CAP,
    Executed,
    Inhabitable,
    Program,
    Sandbox,
    SandboxError,
    Sandboxes,
    SandboxesFactory,
)

__all__ = [
    "FILE_CAP",
    "OUTPUT_CAP",
    "PATCH_CAP",
    "Executed",
    "Inhabitable",
    "Patterns",
    "Program",
    "Sandbox",
    "SandboxError",
    "Sandboxes",
    "SandboxesFactory",
    "mirror_repository",
    "notices",
    "size",
    "touched",
    "without",
]
