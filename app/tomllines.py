"""On which line each key of a TOML document stands: tomllib tells values, but not places.

It reads documents that tomllib has accepted, so it checks nothing itself.
"""

import re
import tomllib

Path = tuple[str | int, ...]
"""Keys from the top of the document; a whole number is a position in an array."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}' + r"|'''.*?'{3,5}" + r'|"(?:[^"\\]|\\.)*"' + r"|'[^']*'",
    re.DOTALL,
)
_PLAIN_VALUE = re.compile(r"[^,\]}#\n]+")


def lines(source: str) -> dict[Path, int]:
    """The line, from 1, of every table header, key and array element."""
    return _Scanner(source).scan()


class _Scanner:
    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.found: dict[Path, int] = {}
        self.lengths: dict[Path, int] = {}
        """How many tables each array of tables has so far."""

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip_blank():
            if self._take("[["):
                table = self._key(())
                self._expect("]]")
                self.found.setdefault(table, self._line())
                self.lengths[table] = self.lengths.get(table, 0) + 1
                table = (*table, self.lengths[table] - 1)
                self.found[table] = self._line()
            elif self._take("["):
                table = self._key(())
                self.found.setdefault(table, self._line())
                self._expect("]")
            else:
                self._pair(table)
        return self.found

    def _pair(self, table: Path) -> None:
        path = self._key(table)
        self._expect("=")
        self._value(path)

    def _key(self, table: Path) -> Path:
        """A dotted key from here on. Inside an array of tables it means the latest of them."""
        path = table
        while True:
            self._skip_blank()
            path = (*path, self._word())
            self.found.setdefault(path, self._line())
            self._skip_blank()
            if not self._take("."):
                return path
            if path in self.lengths:
                path = (*path, self.lengths[path] - 1)

    def _word(self) -> str:
        if match := _BARE_KEY.match(self.source, self.at):
            self.at = match.end()
            return match[0]
        return str(tomllib.loads(f"key = {self._string()}")["key"])

    def _value(self, path: Path) -> None:
        self._skip_blank()
        if self._take("{"):
            while not self._closes("}"):
                self._pair(path)
        elif self._take("["):
            element = 0
            while not self._closes("]"):
                self.found[*path, element] = self._line()
                self._value((*path, element))
                element += 1
        elif self.source[self.at] in "\"'":
            self._string()
        else:
            match = _PLAIN_VALUE.match(self.source, self.at)
            assert match is not None, "tomllib has accepted the document"
            self.at = match.end()

    def _closes(self, bracket: str) -> bool:
        """Go past a comma, if one is here; whether the bracket is next, and go past it too."""
        self._skip_blank()
        if self._take(","):
            self._skip_blank()
        return self._take(bracket)

    def _string(self) -> str:
        match = _STRING.match(self.source, self.at)
        assert match is not None, "tomllib has accepted the document"
        self.at = match.end()
        return match[0]

    def _skip_blank(self) -> bool:
        match = _BLANK.match(self.source, self.at)
        assert match is not None, "it matches nothing too"
        self.at = match.end()
        return self.at < len(self.source)

    def _take(self, text: str) -> bool:
        if self.source.startswith(text, self.at):
            self.at += len(text)
            return True
        return False

    def _expect(self, text: str) -> None:
        self._skip_blank()
        assert self._take(text), "tomllib has accepted the document"

    def _line(self) -> int:
        return self.source.count("\n", 0, self.at) + 1
