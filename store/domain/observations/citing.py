"""What an attempt says of the observations that it was given."""

from dataclasses import dataclass

from store.domain.observations.model import Evidence


@dataclass(frozen=True)
class Citation:
    """An attempt named an observation of its prompt as one that it used. `evidence` is where it said so; `shown` is
    whether its tape bears that out, None where nothing on a tape could, and `why` says so in words."""

    observation: str
    evidence: Evidence
    shown: bool | None
    why: str
