"""Text as a reader takes it, whatever was done to it so that patterns don't match."""

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Iterator

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e007f]"
)
_TAGS = re.compile("[\U000e0020-\U000e007e]")
"""Characters that stand for ASCII and show nothing."""
_LOOKALIKES = str.maketrans(
    "аеорсухіјѕԁԛԝһӏкмтвнАВЕКМНОРСТУХІЈЅΑΒΕΖΗΙΚΜΝΟΡΤΥΧαορνιτυ",
    "aeopcyxijsdqwhlkmtbhABEKMHOPCTYXIJSABEZHIKMNOPTYXaopvitu",
)
"""Cyrillic and Greek letters that look like Latin ones."""
_DIGITS = str.maketrans("013457@$", "oieastas")
_SPELT = re.compile(r"(?<![A-Za-z])(?:[A-Za-z][ ._*\-|]){4,}[A-Za-z](?![A-Za-z])")
_MIXED = re.compile(r"\b(?=\w*[A-Za-z])(?=[A-Za-z@$]*[013457@$])[A-Za-z013457@$]{3,}\b")
_BASE64 = re.compile(r"(?<![\w+/=-])[A-Za-z0-9+/_-]{20,}={0,2}(?![\w+/=-])")
_HEX = re.compile(r"\b(?:[0-9a-fA-F]{2}){12,}\b")
_ESCAPES = re.compile(r"(?:\\x[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4})")
_PERCENT = re.compile(r"(?:%[0-9a-fA-F]{2})+")
_SPACES = re.compile(r"[^\S\n]+")
_LINES = re.compile(r" ?\n\s*")
_LONG = 20_000
"""Characters that are looked at."""


def readings(text: str) -> Iterator[str]:
    """The text, plain, and then what it hides: written with look-alikes, digits for letters, letters apart, in
    base64 or hexadecimal, backwards. Not all of them are there."""
    plain = _plain(text[:_LONG])
    yield plain
    if plain != (joined := _SPELT.sub(_joined, plain)):
        yield joined
    if _MIXED.search(plain):
        yield _MIXED.sub(lambda match: match[0].translate(_DIGITS), plain)
    for found in _BASE64.finditer(plain):
        yield from _decoded(found[0])
    for found in _HEX.finditer(plain):
        yield from _words(bytes.fromhex(found[0]))
    yield plain[::-1]
    yield codecs.encode(plain, "rot13")


def _plain(text: str) -> str:
    hidden = "".join(chr(ord(one) - 0xE0000) for one in _TAGS.findall(text))
    text = _ESCAPES.sub(lambda match: chr(int(match[0][2:], 16)), text)
    text = _PERCENT.sub(lambda match: bytes.fromhex(match[0].replace("%", "")).decode("utf-8", "replace"), text)
    text = html.unescape(text)
    text = _folded(unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)))
    return f"{text.translate(_LOOKALIKES)}\n{hidden}" if hidden else text.translate(_LOOKALIKES)


def _folded(text: str) -> str:
    """Runs of white space as one: patterns would try all their parts."""
    return _LINES.sub("\n", _SPACES.sub(" ", text))


def _joined(match: re.Match[str]) -> str:
    return re.sub(r"[ ._*\-|]", "", match[0])


def _decoded(token: str) -> Iterator[str]:
    try:
        data = base64.b64decode(token.translate(str.maketrans("-_", "+/")) + "=" * (-len(token) % 4), validate=False)
    except (binascii.Error, ValueError):
        return
    yield from _words(data)


def _words(data: bytes) -> Iterator[str]:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    if text.isprintable() and " " in text:
        yield _folded(text)
