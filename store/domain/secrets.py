"""Keys and passwords in text, hidden where it is shown or handed out: what a tool printed, what a file held.

A mask is as long as what it hides, in characters and in UTF-8, and keeps the beginning that says what kind of key it
was: `sk-ant-api03-****`. So whatever counts characters of the text counts the same in the masked one. Masking is for
drawing and exporting only: the record keeps what was said, and evidence is found in that.

The formats are those that gitleaks (config/gitleaks.toml, v8) and detect-secrets (its plugins, v1.5) look for, with
their lengths loosened: a key that is hidden without need costs less than one that is shown. What has no form of its
own, such as a password in prose, nobody can find.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from store.domain.safe_text import safe, safe_line

STAR = "*"

_COLOUR = r"(?<=\[[mK])|(?<=[\[;][0-9]m)|(?<=[\[;][0-9]{2}m)|(?<=;[0-9]{3}m)"
"""The end of a terminal's colour, as `grep --color` puts it before what it found."""

_ESCAPED = rf"(?<=\\[nrt])|(?<=%[0-9A-Fa-f][0-9A-Fa-f])|{_COLOUR}"
_START = rf"(?:(?<![A-Za-z0-9])|{_ESCAPED})"
"""Where a word begins, also after an escape of JSON's, of a URL's or of a terminal's."""

_TOKEN = re.compile(r"[A-Za-z0-9_\-]*")


@dataclass(frozen=True)
class _Kind:
    """One format. `sign` is what every such key has in it: looking for that is many times as quick as looking for the
    format. `before` is how many characters of a match stand before the sign. Group 1 of the pattern is hidden."""

    sign: str
    pattern: re.Pattern[str]
    before: int = 0
    whole_word: bool = True
    """Whatever goes on without a break after the match is hidden as well."""
    fold: bool = field(default=False)
    """The sign is looked for without case."""


def _key(sign: str, rest: str, *, keep: str = "") -> _Kind:
    """A key that begins with its sign, and keeps that and what `keep` matches."""
    return _Kind(sign, re.compile(f"{_START}{re.escape(sign)}{keep}({rest})"))


_WORD = r"[A-Za-z0-9_\-]"

_KINDS = (
    # Model providers.
    _key("sk-", _WORD + "{20,}", keep=r"(?:ant-(?:[a-z]+\d\d-)?|proj-|svcacct-|admin-|or-v1-|lf-)?"),
    _key("pk-lf-", _WORD + "{20,}"),
    _key("AIza", _WORD + "{30,}"),
    _key("ya29.", _WORD + "{20,}"),
    _key("GOCSPX-", _WORD + "{20,}"),
    _key("hf_", "[A-Za-z0-9]{30,}"),
    _key("api_org_", "[A-Za-z0-9]{30,}"),
    _key("gsk_", "[A-Za-z0-9]{40,}"),
    _key("xai-", "[A-Za-z0-9]{40,}"),
    _key("pplx-", "[A-Za-z0-9]{40,}"),
    _key("r8_", "[A-Za-z0-9]{30,}"),
    # Multitrack's own virtual keys (`store.keys`).
    _key("mt-", "[A-Za-z0-9]{32,}"),
    # Clouds.
    _key("AKIA", "[A-Z0-9]{16,}"),
    _key("ASIA", "[A-Z0-9]{16,}"),
    _key("ABIA", "[A-Z0-9]{16,}"),
    _key("ACCA", "[A-Z0-9]{16,}"),
    _key("A3T", "[A-Z0-9]{17,}"),
    _Kind(
        "secret_access_key",
        re.compile(r"(?i:secret_access_key)[\"']?\s{0,8}(?:[:=]|=>)\s{0,8}[\"']?([A-Za-z0-9/+=]{40,})"),
        fold=True,
    ),
    _key("dop_v1_", "[a-f0-9]{40,}"),
    _key("dapi", "[a-f0-9]{32,}"),
    # Code, packages, and what teams use.
    *(_key(sign, "[A-Za-z0-9]{30,}") for sign in ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "npm_")),
    _key("github_pat_", "[A-Za-z0-9_]{22,}"),
    _key("glpat-", r"[A-Za-z0-9_\-.]{20,}"),
    *(_key(sign, _WORD + "{20,}") for sign in ("gldt-", "glrt-", "glptt-", "glft-", "glimt-", "glagent-", "glsoat-")),
    *(_key(sign, _WORD + "{20,}") for sign in ("glcbt-", "gloas-", "glffct-")),
    _key("pypi-", _WORD + "{32,}"),
    _key("xox", r"[0-9A-Za-z\-]{10,}", keep="[abeoprs]-"),
    _key("xapp-", r"[0-9A-Za-z\-]{20,}"),
    _Kind(
        "hooks.slack.com/",
        re.compile(r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/]{20,})"),
    ),
    *(_key(f"{who}_{where}_", "[A-Za-z0-9]{10,}") for who in ("sk", "rk") for where in ("live", "test", "prod")),
    _key("whsec_", "[A-Za-z0-9+/=]{24,}"),
    _key("SG.", rf"{_WORD}{{16,}}\.{_WORD}{{16,}}"),
    _key("shpat_", "[A-Fa-f0-9]{32,}"),
    # What carries its own claims. Never begun in the middle of a word, or it would be read once for each beginning.
    _Kind("eyJ", re.compile(rf"(?:(?<!{_WORD})|{_ESCAPED})eyJ({_WORD}{{8,}}\.{_WORD}{{8,}}(?:\.{_WORD}*){{1,3}})")),
    # What stands where only a secret does.
    _Kind("://", re.compile(r"://[^\s/?#:@\"'<>]*:([^\s/?#@\"'<>]+)@"), whole_word=False),
    _Kind(
        "authorization",
        re.compile(
            r"(?i:authorization)[\"']?\]?\s{0,8}[:=,]\s{0,8}[\"']?"
            r"(?:(?i:bearer|basic|token|bot)\s{1,8})?([A-Za-z0-9._~+/=\-]{16,})"
        ),
        fold=True,
    ),
    *(
        _Kind(name, re.compile(rf"[?&](?i:{name})=([^\s&#\"'<>*]{{8,}})"), before=1, fold=True)
        for name in ("key", "api_key", "api-key", "apikey", "access_token", "auth_token")
    ),
)

_PEM = "PRIVATE KEY"
_PEM_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_LEAD = 60
"""Characters that may stand before the words in the first line of a private key."""
_PEM_BREAK = r"(?>(?:[\s\"'>|,]++|-(?!-)|\\[nrt]|\d{1,6}[\t:|→ ])*)"
"""What parts the lines of one: their ends as they are, quoted, escaped in JSON, numbered, or marked by a diff."""
_PEM_BODY = re.compile(
    rf"(?:{_PEM_BREAK}(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset): [^\n\\]*+)*"
    rf"(?:{_PEM_BREAK}[A-Za-z0-9+/]{{16,}}+=*+)*"
    rf"(?:{_PEM_BREAK}[A-Za-z0-9+/]{{1,15}}+=*+(?={_PEM_BREAK}(?:-----END|=|\Z)))?"
)
"""Its headers, its lines, and its last line, which may be short."""


_SIGNS = tuple(kind.sign for kind in _KINDS if not kind.fold)
_FOLDED = tuple(kind.sign for kind in _KINDS if kind.fold)

SHORTEST = 6
"""Characters of the shortest text that can have a secret of a known form in it."""


def mask(text: str) -> str:
    """The text with every secret of a known form hidden, character for character; white space stays. Masking what is
    masked changes nothing. Takes time in proportion to the text."""
    if len(text) < SHORTEST or not may_have_one(text):
        return text
    spans = sorted(_spans(text))
    out: list[str] = []
    at = 0
    for start, end in spans:
        if end <= at:
            continue
        start = max(start, at)
        out += text[at:start], _starred(text[start:end])
        at = end
    out.append(text[at:])
    return "".join(out)


def masked(value: Any) -> Any:
    """A JSON value with the secrets in its texts and names hidden."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {mask(str(name)): masked(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    return value


def shown(text: str) -> str:
    """Foreign text as it may be shown: safe for a terminal, its secrets hidden."""
    return mask(safe(text))


def shown_line(text: str, width: int | None = None) -> str:
    """The same on one line, as `safe_line`. What is cut off is cut off masked."""
    line = mask(safe_line(text))
    return line if width is None else safe_line(line, width)


def may_have_one(text: str) -> bool:
    """Whether a text has a sign of a secret of a known form: a quick look, and nearly all have none. A sign stands on
    one line, so a text has one when one of its lines has."""
    # Loops, not `any`: that takes three times as long, and all that streams to the screen is looked at.
    for sign in _SIGNS:
        if sign in text:
            return True
    folded = text.lower()
    for sign in _FOLDED:
        if sign in folded:
            return True
    return _PEM in text


def _starred(text: str) -> str:
    return "".join(character if character.isspace() else STAR for character in text)


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where secrets lie, of each kind in order."""
    folded = ""
    for kind in _KINDS:
        if kind.fold and not folded:
            # Only ASCII, or the places would move: a few letters are longer in lower case.
            folded = text.translate(_LOWER)
        yield from _of_kind(kind, text, folded if kind.fold else text)
    at = 0
    while (found := text.find(_PEM, at)) >= 0:
        before, at = at, found + len(_PEM)
        if (begin := _PEM_BEGIN.search(text, max(found - _PEM_LEAD, before), at + len(" BLOCK-----"))) is not None:
            body = _PEM_BODY.match(text, begin.end())
            assert body is not None
            yield begin.end(), body.end()
            at = max(at, body.end())


_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def _of_kind(kind: _Kind, text: str, searched: str) -> Iterator[tuple[int, int]]:
    at = 0
    while (found := searched.find(kind.sign, at)) >= 0:
        at = found + len(kind.sign)
        match = kind.pattern.match(text, found - kind.before) if found >= kind.before else None
        if match is None:
            continue
        start, end = match.span(1)
        if kind.whole_word:
            rest = _TOKEN.match(text, end)
            assert rest is not None
            end = rest.end()
        yield start, end
        at = max(at, end)
