"""Numbers as people read them."""

from store.domain.limits import Spend


def tokens(count: int | None) -> str:
    """`812`, `41.2k`, `3.1M`; `–` where nothing says how many."""
    if count is None:
        return "–"
    if count < 1000:
        return str(count)
    if count < 999_500:
        return f"{count / 1000:.1f}k" if count < 99_950 else f"{count / 1000:.0f}k"
    return f"{count / 1_000_000:.1f}M"


def money(spend: Spend) -> str:
    """US dollars; `≥` where a call had no known price, `$?` where none had."""
    if not spend.priced and not spend.usd:
        return "$?"
    digits = 3 if 0 < spend.usd < 0.1 else 2
    return f"{'' if spend.priced else '≥'}${spend.usd:.{digits}f}"


def duration(seconds: float) -> str:
    """`9s`, `4m12s`, `2h05m`, `3d`."""
    whole = int(max(seconds, 0))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d"


def age(seconds: float) -> str:
    """How long ago: `now`, `4m`, `2h`, `3d`."""
    whole = int(max(seconds, 0))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if whole >= size:
            return f"{whole // size}{unit} ago"
    return "now"


def count(number: int, noun: str, nouns: str = "") -> str:
    """`1 lane`, `3 lanes`; `nouns` is the plural where that is another."""
    return f"{number} {noun}" if number == 1 else f"{number} {nouns or f'{noun}s'}"
