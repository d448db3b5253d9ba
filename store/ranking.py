"""BM25 over what a search may see, and nothing else.

FTS5 weighs words by how rare they are in the whole index: by what other runs have said, and by what other subagents say
at this moment. What a subagent recalls must depend on its run's past alone, or no run could be played again.
"""

from collections import Counter
from collections.abc import Sequence
from math import log

K1, B = 1.2, 0.75
"""As in FTS5."""


def ranked(texts: Sequence[str], found: Sequence[Sequence[tuple[int, int]]]) -> list[int]:
    """The places of the texts, best first, equally good ones as they came. `found` says for each what matched in it,
    from and to in characters; what reads the same is one word."""
    counts = [
        Counter(text[start:end].casefold() for start, end in spans) for text, spans in zip(texts, found, strict=True)
    ]
    having = Counter(word for count in counts for word in count)
    weights = {word: log(1 + (len(texts) - many + 0.5) / (many + 0.5)) for word, many in having.items()}
    usual = sum(map(len, texts)) / len(texts) if texts else 1.0

    def score(place: int) -> float:
        length = 1 - B + B * len(texts[place]) / (usual or 1.0)
        return sum(
            weights[word] * many * (K1 + 1) / (many + K1 * length) for word, many in sorted(counts[place].items())
        )

    # To nine digits: sums of the same words in another order are the same.
    scores = [round(score(place), 9) for place in range(len(texts))]
    return sorted(range(len(texts)), key=lambda place: -scores[place])
