"""The files of a subagent as its tape shows them: whether a call changed them, and whether they are as they once were.

What commands do to files is known by their form only. A change whose outcome isn't known makes a tree that is like no
other, so it resets what is counted and never passes for a return.
"""

import re
from dataclasses import dataclass, field

from store.domain.stuck.facts import Used
from store.domain.stuck.normal import arguments, done, errored, interrupted, key

_WRITES = re.compile(
    r"(?:^|[\s;&|(])(?:sed\s+(?:\S+\s+)*?-\w*i|perl\s+(?:\S+\s+)*?-\w*i|tee\b(?!\s+/(?:dev|tmp)/)|mv|cp|rm|ln|patch|touch|mkdir|"
    r"truncate|rsync|unzip|tar\s+-?\w*x|git\s+(?:apply|am|checkout|switch|restore|stash|reset|revert|merge|rebase|pull|"
    r"cherry-pick|clean|mv|rm)|(?:pip|npm|yarn|pnpm|cargo|go|apt|apt-get|bundle|gem|poetry|uv)\s+(?:\S+\s+)?(?:install|"
    r"add|get|sync|update|remove))(?=\s|$)"
)
_REDIRECTS = re.compile(r"(?<![0-9&>=-])>{1,2}\s*(?!&|/dev/|/tmp/|\()[\w./~\"'$]")
_SCRIPT = re.compile(r"\b(?:python[\d.]*|node|ruby|perl)\b[^\n|;&]*<<|\bwrite_text\(|\bopen\([^)]*['\"][wa]b?\+?['\"]")
_ALL_BACK = re.compile(
    r"^\s*(?:cd \S+ && )?git (?:reset --hard(?: HEAD)?|(?:checkout|restore)(?: --)? (?:\.|:/)|"
    r"stash(?: push| save)?(?: -\S+)*)\s*$"
)
_BACK = re.compile(r"^\s*(?:cd \S+ && )?git (?:checkout(?: HEAD)?(?: --)?|restore) (?P<paths>[\w./ -]+?)\s*$")
_CHANGING_WORDS = re.compile(
    r"(?i:add|apply|append|book|cancel|commit|copy|create|delete|drop|edit|exchange|execute|insert|merge|modify|move|patch|"
    r"pay|post|purchase|put|refund|remove|rename|replace|return|save|send|set|update|upload|write)(?=[A-Z_-]|$)"
)
"""First words of tools that change something, where nothing is known but their name."""


@dataclass
class Tree:
    """`state` names what the files are now; the same name is the same files."""

    _pieces: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """By path: parts of it as they were at first and as they are now."""
    _unknown: int = 0
    _last: str = ""
    """The last change whose outcome isn't known, by call and result."""

    @property
    def state(self) -> str:
        """Of the files as they were at first, "" alone."""
        changed = sorted(
            (path, before, now) for path, pieces in self._pieces.items() for before, now in pieces if before != now
        )
        return (
            key(*(part for piece in changed for part in piece), str(self._unknown)) if changed or self._unknown else ""
        )

    def take(self, used: Used) -> bool:
        """Take in a call; whether it changed anything."""
        if interrupted(used):
            return self._no_one_knows(used)
        if used.name == "run":
            return self._ran(used)
        if errored(used):
            return False
        match used.name:
            case "edit":
                return self._edited(_text(used, "path"), _text(used, "old"), _text(used, "new"))
            case "write" if path := _text(used, "path"):
                return self._wrote(path, _text(used, "new"))
            case "write":
                return self._no_one_knows(used)
            case _:
                return _CHANGING_WORDS.match(used.name) is not None and self._no_one_knows(used)

    def _ran(self, used: Used) -> bool:
        command, went_well = used.command, used.exit_code == 0
        if went_well and _ALL_BACK.match(command):
            changed = bool(self.state)
            self._pieces, self._unknown, self._last = {}, 0, ""
            return changed
        back = _BACK.match(command) if went_well else None
        paths = back["paths"].split() if back is not None else []
        if paths and all(path in self._pieces for path in paths):
            for path in paths:
                del self._pieces[path]
            return True
        writes = _WRITES.search(command) or _REDIRECTS.search(command) or _SCRIPT.search(command)
        return bool(writes) and self._no_one_knows(used)

    def _no_one_knows(self, used: Used) -> bool:
        """Something may have changed; the same once more, with the same result, changes nothing more."""
        this = done(used)
        changed, self._last = this != self._last, this
        self._unknown += changed
        return changed

    def _edited(self, path: str, old: str, new: str) -> bool:
        if old == new:
            return False
        self._last = ""
        if not old:
            return self._wrote(path, new)
        pieces = self._pieces.setdefault(path, [])
        hit = [at for at, (_, now) in enumerate(pieces) if now.count(old) == 1]
        for at in hit:
            before, now = pieces[at]
            pieces[at] = before, now.replace(old, new, 1)
        if not hit:
            before = old
            # An edit that reaches beyond an earlier one takes that one up.
            for piece in [piece for piece in pieces if piece[1] and old.count(piece[1]) == 1]:
                before = before.replace(piece[1], piece[0], 1)
                pieces.remove(piece)
            pieces.append((before, new))
        return True

    def _wrote(self, path: str, new: str) -> bool:
        before = self.state
        self._last = ""
        self._pieces[path] = [("", new)]
        return self.state != before


def _text(used: Used, name: str) -> str:
    value = used.given.get(name)
    return value if isinstance(value, str) else arguments({"": value}) if value is not None else ""
