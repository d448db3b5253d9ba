"""Text turned into lines of inked spans, as what it is: code, diff, JSON, traceback, Markdown, shell output.

Pure functions, safe to call in a thread. Pygments is imported on first use. Every result is safe to draw.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from store.domain.secrets import mask
from widgets.ink import Line, clean

if TYPE_CHECKING:
    from pygments.lexer import Lexer

MOST = 200_000
"""Characters that are painted; the rest is said to be there. Pygments takes about a second for a megabyte."""

_INKS = (
    ("Token.Comment", "code-comment"),
    ("Token.Keyword", "code-keyword"),
    ("Token.Operator.Word", "code-keyword"),
    ("Token.Literal.String", "code-string"),
    ("Token.Literal.Number", "code-number"),
    ("Token.Name.Function", "code-name"),
    ("Token.Name.Class", "code-name"),
    ("Token.Name.Decorator", "code-name"),
    ("Token.Name.Tag", "code-name"),
    ("Token.Name.Exception", "bad"),
    ("Token.Generic.Traceback", "text"),
    ("Token.Generic.Error", "bad"),
)


def plain(text: str, ink: str = "text") -> list[Line]:
    """The text as it is."""
    text, more = _cap(text)
    return [[(line, ink)] for line in clean(text).split("\n")] + more


def code(text: str, name: str = "", language: str = "") -> list[Line]:
    """Code, by the name of its file or of its language; plain when neither is known."""
    text, more = _cap(text)
    text = clean(text)
    lexer = _lexer(name, language)
    if lexer is None:
        return plain(text) + more
    lines: list[Line] = [[]]
    for token, value in lexer.get_tokens(text):
        ink = _ink(str(token))
        first, *rest = value.split("\n")
        if first:
            lines[-1].append((first, ink))
        lines += [[(piece, ink)] if piece else [] for piece in rest]
    while lines and not lines[-1]:
        lines.pop()
    return lines + more


_NUMBERED = re.compile(r"\s*(\d+)(?:\t|→|\| ?)(.*)")


def is_numbered(text: str) -> bool:
    """Whether it is a file as the tools of agents read it: a number before each line, perhaps a word around it."""
    lines = [line for line in text[:4000].split("\n", 40) if line.strip()]
    return len(lines) > 0 and 2 * sum(bool(_NUMBERED.match(line)) for line in lines) >= len(lines)


def numbered(text: str, name: str = "") -> list[Line]:
    """A file with a number before each line; code is painted by the file's name. What stands around it has none."""
    text, more = _cap(text)
    found = [_NUMBERED.match(line) for line in text.split("\n")]
    painted = iter(code("\n".join(one[2] for one in found if one), name))
    lines: list[Line] = []
    for one, line in zip(found, clean(text).split("\n"), strict=False):
        lines.append([(f"{one[1]:>5} ", "faint"), *next(painted, [])] if one else [(line, "faint")])
    return lines + more


def diff(text: str) -> list[Line]:
    """A unified diff."""
    text, more = _cap(text)
    lines: list[Line] = []
    for line in clean(text).split("\n"):
        if line.startswith(("+++", "---", "*** ", "diff ", "index ", "new file", "deleted file")):
            ink = "strong" if line.startswith(("+++", "---", "*** ")) else "faint"
        elif line.startswith("@@"):
            ink = "accent"
        else:
            ink = {"+": "added", "-": "removed"}.get(line[:1], "text")
        lines.append([(line, ink)])
    return lines + more


def edit(path: str, old: str, new: str) -> list[Line]:
    """An edit as a unified diff of the place that it changes."""
    delta = difflib.unified_diff(_cap(old)[0].splitlines(), _cap(new)[0].splitlines(), path, path, lineterm="", n=3)
    return diff("\n".join(delta)) if old != new else plain("nothing was changed", "faint")


def as_json(value: object) -> list[Line]:
    """A JSON value, indented and painted."""
    return code(json.dumps(value, indent=2, ensure_ascii=False, default=str), language="json")


def traceback(text: str) -> list[Line]:
    """A Python traceback inside other output: files and lines stand out, the error more."""
    lines: list[Line] = []
    inside = False
    text, more = _cap(text)
    for line in clean(text).split("\n"):
        if line.startswith("Traceback "):
            inside = True
            lines.append([(line, "bad")])
        elif inside and (found := re.match(r'(\s+File )(".*?")(, line )(\d+)(.*)', line)):
            lines.append(
                [(found[1], "faint"), (found[2], "code-string"), (found[3], "faint"), (found[4], "code-number"),
                 (found[5], "code-name")]
            )  # fmt: skip
        elif inside and line and not line[0].isspace():
            inside = False
            lines.append([(line, "bad")])
        else:
            lines.append([(line, "text")])
    return lines + more


_SGR = re.compile(r"\x1b\[([0-9;]{0,40})m")
_COLOURS = {31: "bad", 91: "bad", 32: "good", 92: "good", 33: "warn", 93: "warn", 34: "accent", 94: "accent",
            35: "code-keyword", 95: "code-keyword", 36: "code-name", 96: "code-name", 90: "faint", 2: "faint",
            1: "strong"}  # fmt: skip


def shell(text: str) -> list[Line]:
    """What a program printed. Its colours become inks of the theme; every other control becomes visible."""
    text, more = _cap(text)
    lines: list[Line] = []
    ink = "text"
    for raw in text.replace("\r\n", "\n").split("\n"):
        line: Line = []
        at = 0
        for found in _SGR.finditer(raw):
            line.append((clean(raw[at : found.start()]), ink))
            ink = _colour(found[1], ink)
            at = found.end()
        line.append((clean(raw[at:]), ink))
        lines.append([span for span in line if span[0]])
    return lines + more


def _colour(codes: str, ink: str) -> str:
    for number in (int(each or 0) for each in codes.split(";") if len(each) < 4):
        if number in (0, 39, 22):
            ink = "text"
        elif number in _COLOURS and not (number == 1 and ink != "text"):
            ink = _COLOURS[number]
    return ink


_TAG = re.compile(r"^(\s*[-*] )?\[(important|possible|informational)\]")
_TAG_INKS = {"important": "bad", "possible": "warn", "informational": "accent"}
_INLINE = re.compile(r"`([^`\n]+)`|\*\*([^*\n]+)\*\*|<!--.*?-->")


def prose(text: str) -> list[Line]:
    """Markdown-ish text: headings, lists, fences painted by language, inline code; never parsed as markup."""
    text, more = _cap(text)
    lines: list[Line] = []
    fence: str | None = None
    language, block, lead = "", list[str](), 0
    for line in clean(text).split("\n"):
        mark = re.match(r"\s*(`{3,}|~{3,})\s*([\w+-]*)", line)
        if fence is None and mark:
            fence, language, block, lead = mark[1], mark[2], [], len(line) - len(line.lstrip())
            lines.append([(line, "faint")])
        elif fence is not None and line.strip().startswith(fence):
            lines += _fenced(block, language, lead)
            lines.append([(line, "faint")])
            fence = None
        elif fence is not None:
            block.append(line)
        else:
            lines.append(_prose_line(line))
    if fence is not None:
        lines += _fenced(block, language, lead)
    return lines + more


def _fenced(block: list[str], language: str, lead: int) -> list[Line]:
    """A fence's inside; `lead` is how far the fence is indented."""
    text = "\n".join(line[lead:] if not line[:lead].strip() else line for line in block)
    if language in ("diff", "patch"):
        lines = diff(text)
    else:
        lines = code(text, language=language) if language and block else [[(line, "text")] for line in text.split("\n")]
    return indent(lines, lead) if lead else lines


def _prose_line(line: str) -> Line:
    if re.match(r"#{1,6} ", line):
        level = len(line) - len(line.lstrip("#"))
        tagged = re.search(r"\[(important|possible|informational)\]", line)
        return [(line, _TAG_INKS[tagged[1]] if tagged else "accent" if level == 1 else "strong")]
    if tag := _TAG.match(line):
        return [(tag[1] or "", "faint"), (f"[{tag[2]}]", _TAG_INKS[tag[2]]), *_item(line[tag.end() :])]
    if re.match(r"- \(o-", line):
        return [("- ", "faint"), *_item(line[2:])]
    if re.match(r"\s+- .*, call ", line):
        return [(line, "faint")]
    if added := re.match(r"\s+([+-]) ", line):
        return [(line, "added" if added[1] == "+" else "removed")] if line.startswith("    ") else _inline(line)
    if line.startswith(("> ", "---")) or re.match(r"\|[\s:|-]+\|$", line):
        return [(line, "faint")]
    return _inline(line)


def _item(line: str) -> Line:
    """An observation's own words; its id, claim and support stand back."""
    head = re.match(r" ?\(o-[^)]*\)", line)
    return [(head[0], "faint"), *_inline(line[head.end() :])] if head else _inline(line)


def _inline(line: str) -> Line:
    result: Line = []
    at = 0
    for found in _INLINE.finditer(line):
        if found.start() > at:
            result.append((line[at : found.start()], "text"))
        if found[1] is not None:
            result.append((found[1], "code-string"))
        elif found[2] is not None:
            result.append((found[2], "strong"))
        else:
            result.append((found[0], "faint"))
        at = found.end()
    if at < len(line):
        result.append((line[at:], "text"))
    return result


def guess(text: str) -> list[Line]:
    """Output of unknown kind, painted as what it looks like."""
    head = text[:4000]
    if "Traceback (most recent call last)" in text[:MOST]:
        return traceback(text)
    if re.search(r"^(diff --git |--- .*\n\+\+\+ )", head, re.M):
        return diff(text)
    if head.lstrip()[:1] in ("{", "["):
        try:
            return as_json(json.loads(text)) if len(text) <= MOST else shell(text)
        except ValueError:
            pass
    if "\x1b[" not in head and len(re.findall(r"^ {0,3}```", text[:MOST], re.M)) >= 2:
        return prose(text)
    return shell(text)


def indent(lines: Iterable[Line], by: int) -> list[Line]:
    """The lines moved to the right."""
    return [[(" " * by, "text"), *line] for line in lines]


def _cap(text: str) -> tuple[str, list[Line]]:
    """As much of a text as is painted, and a line that says what is not. Secrets are hidden in it as a whole: those of
    several lines, or of several tokens, are none in their parts."""
    if len(text) <= MOST:
        return mask(text), []
    return mask(text[: MOST + 4096])[:MOST], [[(f"… {len(text) - MOST:,} more characters are on the tape", "warn")]]


def _lexer(name: str, language: str) -> "Lexer | None":
    from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
    from pygments.util import ClassNotFound

    find: Callable[..., Lexer] = get_lexer_by_name if language else get_lexer_for_filename
    try:
        return find(language or name, stripnl=False, ensurenl=False) if language or name else None
    except ClassNotFound:
        return None


def _ink(token: str) -> str:
    return next((ink for prefix, ink in _INKS if token.startswith(prefix)), "code-plain")
