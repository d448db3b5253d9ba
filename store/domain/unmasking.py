"""Text as a reader takes it, whatever was done to it so that patterns don't match."""

import base64
import binascii
import html
import re
import string
import unicodedata
from collections.abc import Iterator

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f"
    "\ufeff\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)
_TAGS = re.compile("[\U000e0020-\U000e007e]")
"""Characters that stand for ASCII and show nothing."""
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")
"""Variation selectors, of which there are as many as bytes, in rows as no letter has them."""
_ACCENTS = re.compile("[\u0300-\u036f\u0489]")
_LOOKALIKES = str.maketrans(
    "аеорсухіјѕԁԛԝһӏкмтвнАВЕКМНОРСТУХІЈЅΑΒΕΖΗΙΚΜΝΟΡΤΥΧαορνιτυεօսհոցզՕՍԼᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘǫʀꜱᴛᴜᴠᴡʏᴢıɩɑɡ",
    "aeopcyxijsdqwhlkmtbhABEKMHOPCTYXIJSABEZHIKMNOPTYXaopvitueouhngqOULabcdefghijklmnopqrstuvwyziiag",
)
"""Cyrillic, Greek and Armenian letters, and small capitals, that look like Latin ones."""
_BOXED = {
    first + place: letter
    for first in (0x1F130, 0x1F150, 0x1F170, 0x1F1E6)
    for place, letter in enumerate(string.ascii_uppercase)
}
_DIGITS = str.maketrans("013457@$", "oieastas")
_SPELT = re.compile(r"(?<![A-Za-z])(?:[A-Za-z][ ._*\-|]){4,}[A-Za-z](?![A-Za-z])")
_MIXED = re.compile(r"\b(?=\w*[A-Za-z])(?=[A-Za-z@$]*[013457@$])[A-Za-z013457@$]{3,}\b")
_BASE64 = re.compile(r"(?<![\w+/-])[A-Za-z0-9+/_-]{12,}={0,2}(?![\w+/])")
_PIECE = re.compile(r"[A-Za-z0-9+/_-]{2,}={0,2}")
_CODED = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]|[A-Za-z]\d|\d[A-Za-z]")
"""What a piece of base64 has and a word has not."""
_BASE32 = re.compile(r"\b[A-Z2-7]{16,}\b={0,6}")
_HEX = re.compile(
    r"(?<![0-9A-Za-z])(?:0x)?((?:[0-9a-fA-F]{2}){8,}|[0-9a-fA-F]{2}(?:[ :,]{1,2}(?:0x)?[0-9a-fA-F]{2}){7,})\b"
)
_NUMBERS = re.compile(r"\b\d{2,3}(?:[,;\s]{1,2}\d{2,3}){7,}\b")
_ESCAPES = re.compile(r"\\x[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\u\{[0-9a-fA-F]{1,6}\}")
_OCTALS = re.compile(r"(?:\\[01][0-7]{2}){3,}")
_ASCII = re.compile(rb"[\t\r\n\x20-\x7e]{8,}")
_PERCENT = re.compile(r"(?:%[0-9a-fA-F]{2})+")
_SPACES = re.compile(r"[^\S\n]+")
_LINES = re.compile(r" ?\n\s*")
_LONG = 20_000
"""Characters that are looked at."""
_DEEP = 2
"""How often what was decoded is decoded again."""

_TOLD = ("ignore", "previous", "instructions", "disregard", "delete", "system")


def _shifted(text: str, by: int) -> str:
    letters, capitals = string.ascii_lowercase, string.ascii_uppercase
    table = str.maketrans(letters + capitals, letters[by:] + letters[:by] + capitals[by:] + capitals[:by])
    return text.translate(table)


_SHIFTS = {_shifted(word, by): 26 - by for by in range(1, 26) for word in _TOLD}
_SHIFTED = re.compile(rf"\b(?:{'|'.join(_SHIFTS)})\b", re.IGNORECASE)
"""Words of orders with each letter moved along the alphabet."""


def readings(text: str) -> Iterator[str]:
    """The text, plain, and then as it would read if its look-alikes, its digits for letters, or letters apart were
    meant so, or backwards. Not all of them are there."""
    plain, *_ = _plain(text[:_LONG])
    yield plain
    if plain != (joined := _SPELT.sub(_joined, plain)):
        yield joined
    if _MIXED.search(plain):
        yield _MIXED.sub(lambda match: match[0].translate(_DIGITS), plain)
    yield plain[::-1]
    yield " ".join(reversed(plain.split()))
    if moved := _SHIFTED.search(plain):
        yield _shifted(plain, _SHIFTS[moved[0].lower()])


def decoded(text: str) -> Iterator[str]:
    """What stands in a text in an encoding, or in characters that show nothing."""
    plain, *under = _plain(text[:_LONG])
    yield from under
    yield from _encoded(plain, _DEEP)


def visible(text: str) -> str:
    """The text without characters that show nothing."""
    return _INVISIBLE.sub("", text[:_LONG])


def squeezed(text: str) -> str:
    """The letters of a text and nothing else, so that it doesn't matter how its words are parted: by lines, in a name,
    by marks of a markup language."""
    return re.sub(r"</?[a-z]{1,10}>|[\W\d_]+", "", text).lower()


def _plain(text: str) -> list[str]:
    """The text without masks, and what stands in it and shows nothing."""
    hidden = ["".join(chr(ord(one) - 0xE0000) for one in _TAGS.findall(text))]
    hidden += [_selected(found[0]) for found in _SELECTORS.finditer(text)]
    text = _ESCAPES.sub(_unescaped, text)
    text = _OCTALS.sub(lambda match: "".join(chr(int(one, 8)) for one in match[0].split("\\")[1:]), text)
    text = _PERCENT.sub(lambda match: bytes.fromhex(match[0].replace("%", "")).decode("utf-8", "replace"), text)
    text = html.unescape(text)
    text = unicodedata.normalize("NFKD", _INVISIBLE.sub("", text).translate(_BOXED))
    text = unicodedata.normalize("NFC", _ACCENTS.sub("", text))
    return [_folded(text).translate(_LOOKALIKES), *(one for one in hidden if one)]


def _unescaped(match: re.Match[str]) -> str:
    code = int(match[0][2:].strip("{}"), 16)
    return chr(code) if code <= 0x10FFFF else match[0]


def _selected(text: str) -> str:
    codes = (ord(one) - (0xFE00 if ord(one) < 0x10000 else 0xE0100 - 16) for one in text)
    return bytes(codes).decode("utf-8", "replace")


def _folded(text: str) -> str:
    """Runs of white space as one: patterns would try all their parts."""
    return _LINES.sub("\n", _SPACES.sub(" ", text))


def _joined(match: re.Match[str]) -> str:
    return re.sub(r"[ ._*\-|]", "", match[0])


def _encoded(text: str, deep: int) -> Iterator[str]:
    """What is written in a text in base64, base32, hexadecimal, or as numbers."""
    for data in _data(text):
        for words in _words(data):
            yield words
            if deep > 1:
                yield from _encoded(words, deep - 1)


def _data(text: str) -> Iterator[bytes]:
    for found in _BASE64.finditer(text):
        yield from _based(found[0])
    for token in _in_pieces(text):
        yield from _based(token)
    for found in _BASE32.finditer(text):
        token = found[0].rstrip("=")
        try:
            yield base64.b32decode(token + "=" * (-len(token) % 8))
        except (binascii.Error, ValueError):
            continue
    for found in _HEX.finditer(text):
        yield bytes.fromhex(re.sub(r"[ :,]|0x", "", found[1]))
    for found in _NUMBERS.finditer(text):
        codes = [int(one) for one in re.findall(r"\d+", found[0])]
        if max(codes) < 256:
            yield bytes(codes)


def _based(token: str) -> Iterator[bytes]:
    token = token.rstrip("=").translate(str.maketrans("-_", "+/"))
    # A piece that is cut off, or stuck to other letters, still holds words.
    token = token[: len(token) - (len(token) % 4 == 1)]
    try:
        yield base64.b64decode(token + "=" * (-len(token) % 4), validate=False)
    except (binascii.Error, ValueError):
        return


def _in_pieces(text: str) -> Iterator[str]:
    """Base64 that is parted by spaces or line breaks."""
    run: list[str] = []
    for word in [*text.split(), ""]:
        coded = _PIECE.fullmatch(word) is not None and (_CODED.search(word) is not None or word.endswith("="))
        if coded or (run and _PIECE.fullmatch(word)):
            run.append(word)
        if not coded:
            if len(run) > 1:
                yield "".join(run)
            run = []


def _words(data: bytes) -> Iterator[str]:
    """Text in some bytes, also between others."""
    for encoding in ("utf-8", *(["utf-16-le"] if b"\0" in data else [])):
        try:
            text = data.decode(encoding).strip()
        except UnicodeDecodeError:
            continue
        if text and all(one.isprintable() or one.isspace() for one in text):
            yield _folded(text)
            return
    for found in _ASCII.findall(data):
        yield _folded(found.decode())
