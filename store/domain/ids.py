"""Names of runs and subagents.

A run is five characters of an alphabet without look-alikes. A subagent's label is `GENERATION.LANE`, both from 1, and
its full name is `RUN.GENERATION.LANE`: safe in a path, a URL and a Git branch.
"""

from dataclasses import dataclass
from random import Random

ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"
RUN_LENGTH = 5

OBSERVER = 0
"""In place of a lane: what the observer's model is asked about a generation is on a tape of its own, `2.0`."""


def new_run_id(random: Random) -> str:
    """A fresh run name; the caller brings the randomness."""
    return "".join(random.choice(ALPHABET) for _ in range(RUN_LENGTH))


@dataclass(frozen=True, order=True)
class SubagentId:
    """One subagent: its run, its generation and its lane in it."""

    run: str
    generation: int
    lane: int

    @property
    def label(self) -> str:
        """What people call it inside a run: `2.3`."""
        return f"{self.generation}.{self.lane}"

    def __str__(self) -> str:
        return f"{self.run}.{self.generation}.{self.lane}"

    @classmethod
    def parse(cls, text: str) -> "SubagentId":
        """Read a full name. ValueError when it is none."""
        run, generation, lane = text.rsplit(".", 2)
        return cls(run, int(generation), int(lane))


def parse_label(label: str) -> tuple[int, int]:
    """Generation and lane of a label such as `2.3`. ValueError when it is none."""
    generation, lane = label.split(".")
    return int(generation), int(lane)
