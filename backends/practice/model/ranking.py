"""In which order the hypotheses are tried: by what the strategy prefers, then by chance."""

import hashlib
import re
from collections.abc import Sequence

from backends.practice.model.conversation import Story
from backends.practice.model.faults import Hypothesis

_WORD = re.compile(r"[a-z]+")
_RECENT = re.compile(r"\b(recent\w*|history|commits?|git log|changed last)\b", re.IGNORECASE)
_SYMPTOM = re.compile(r"\b(symptoms?|invariants?|what the check (prints|says)|output of the check)\b", re.IGNORECASE)
_CHANCE = 2.5
_APPROACH, _TRIAGE, _REPAIRS = 0.2, 0.8, 0.3
_FILES = 1.2
_COMMON = set(
    "a an and are as at be before by do each else first for from has in is it its most not of on one or so".split()  # noqa: SIM905
)


def wants_history(strategy: str) -> bool:
    """Whether the strategy goes by what has changed lately."""
    return _RECENT.search(strategy) is not None


def follows_symptoms(strategy: str) -> bool:
    """Whether the strategy goes by what the check says."""
    return _SYMPTOM.search(strategy) is not None


def ranked(hypotheses: Sequence[Hypothesis], story: Story, seed: int) -> list[Hypothesis]:
    """The most promising first."""
    strategy = story.brief.section("Strategy")
    approach, triage, repairs = _parts(strategy)
    files = _files(story, strategy)

    def promise(each: Hypothesis) -> float:
        weight = each.fault.prior + 0.5 * each.fitness + files.get(each.path, 0.0)
        weight += _APPROACH * min(len(approach & each.fault.words), 4)
        place = next((i for i, words in enumerate(triage) if len(words & each.fault.words) >= 2), None)
        if place is not None:
            weight += _TRIAGE / (1 + place)
        kinds = each.fault.words | words(each.repair)
        weight += _REPAIRS * max((min(len(line & kinds), 3) for line in repairs), default=0)
        return weight + _CHANCE * chance(seed, story.brief.label, each.id)

    return sorted(hypotheses, key=lambda each: (-promise(each), each.id))


def chance(seed: int, *what: str) -> float:
    """A number from 0 to 1 that depends on nothing else."""
    digest = hashlib.blake2b("\n".join((str(seed), *what)).encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48


def words(text: str) -> frozenset[str]:
    """The words of a text, the commonest left out, in a simple form."""
    return frozenset(_simple(word) for word in _WORD.findall(text.lower())) - _COMMON


def _simple(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return "retry" if word == "retries" else word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def _parts(strategy: str) -> tuple[frozenset[str], list[frozenset[str]], list[frozenset[str]]]:
    """The words of the approach, and of each line of the triage order and of the preferred repairs."""
    approach: frozenset[str] = frozenset()
    triage: list[frozenset[str]] = []
    repairs: list[frozenset[str]] = []
    into: list[frozenset[str]] | None = None
    for line in strategy.split("\n"):
        title, _, rest = line.partition(":")
        if title.strip() == "Approach":
            approach, into = words(rest), None
        elif title.strip() == "Triage order":
            into = triage
        elif title.strip() == "Preferred repairs":
            into = repairs
        elif into is not None and line.strip():
            into.append(words(line))
    return approach, triage, repairs


def _files(story: Story, strategy: str) -> dict[str, float]:
    """How much the strategy is drawn to a file."""
    if wants_history(strategy):
        log = next((text for command, text in story.outputs.items() if command.startswith("git log")), "")
        order = list(dict.fromkeys(line.strip() for line in log.split("\n") if line.strip() in story.base))
        return {path: _FILES * (1 - place / len(order)) for place, path in enumerate(order)}
    if follows_symptoms(strategy) and story.checks:
        said = words(story.checks[0].output.partition("\n")[2])
        near = {path: len(said & words(text)) for path, text in story.base.items()}
        most = max(near.values(), default=0)
        return {path: _FILES * count / most for path, count in near.items()} if most else {}
    return {}
