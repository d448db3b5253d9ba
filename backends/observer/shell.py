"""What a shell command does, as far as its text tells: whether it runs the check, and whether it changes files."""

import re
import shlex
from collections.abc import Iterator

_AFTER_CHECK = re.compile(r"(?:\s*(?:\d?>&\d|&>\s*[^\s;&|]+|\d?>>?\s*[^\s;&|]+))*\s*(?:$|[;\n)|]|&&|\|\||&)")
_BEFORE_CHECK = re.compile(r"(?:^|[;\n(]|&&|\|\|)\s*(?:time\s+|timeout\s+(?:-\S+\s+)*\d\S*\s+|exec\s+)*$")
_PRINTS_ONLY = re.compile(r"(?:\s*(?:\d?>&\d|\d?>>?\s*/dev/null))*\s*\)?\s*$")

_REDIRECT = re.compile(r"(?<![<>=\-\d&])(?:\d?|&)>>?\|?\s*(?!&|/dev/null\b|/dev/std|/tmp/)[\w./~$\"'{-]")
_QUOTED = re.compile(r"'[^']*'|\"(?:\\.|[^\"\\])*\"")
_HEREDOC = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?.*?^\s*\1\s*$", re.DOTALL | re.MULTILINE)
_CODE_WRITES = re.compile(
    r"open\([^)]*,\s*(?:mode=)?['\"][rwaxbt+]*[wax+]|\.write(?:_text|_bytes)?\(|writeFile|shutil\.|os\.(?:rename|replace|"
    r"remove|unlink)|fileinput|\.unlink\(|\.rename\(|\.replace\(.*\.py"
)

_WRITERS = re.compile(
    r"patch|tee|mv|rm|unlink|truncate|ed|ex|vim?|nano|install|ln|dd|rsync|unzip|2to3|black|isort|autopep8|yapf|rustfmt|"
    r"clang-format|codemod"
)
_IN_PLACE = {
    "sed": ("-i", "--in-place"),
    "gsed": ("-i", "--in-place"),
    "perl": ("-i", "-pi", "-ni"),
    "ruby": ("-i", "-pi"),
    "awk": ("inplace",),
    "gawk": ("inplace",),
    "ruff": ("format", "--fix"),
    "gofmt": ("-w",),
    "goimports": ("-w",),
    "prettier": ("--write", "-w"),
    "eslint": ("--fix",),
    "cargo": ("fmt", "fix"),
    "go": ("fmt", "generate", "get"),
    "tar": ("x", "-x", "xf", "xzf", "xvf", "-xf", "-xzf", "-xvf"),
    "find": ("-delete", "-exec"),
    "npx": ("prettier", "eslint"),
    "sort": ("-o",),
}
"""Programs that change files when they get one of these arguments (or, for short options, one that begins so)."""
_GIT = re.compile(
    r"apply|am|checkout|restore|reset|stash|revert|merge|rebase|cherry-pick|clean|rm|mv|switch|pull|worktree"
)
_GIT_READS = frozenset({("stash", "list"), ("stash", "show"), ("apply", "--check"), ("apply", "--stat")})
_INTERPRETERS = re.compile(r"(?:python[\d.]*|node|ruby|perl|php|deno|bun)")
_COPIES = re.compile(r"cp|touch")


def runs_check(command: str, check: str) -> bool | None:
    """Whether the command runs the check as it is: None when it doesn't, True when its exit code is the check's, False
    when something else comes after it, so that only its output tells."""
    start = command.find(check) if check else -1
    while start >= 0:
        end = start + len(check)
        if _BEFORE_CHECK.search(command[:start]) and _AFTER_CHECK.match(command[end:]):
            return _PRINTS_ONLY.match(command[end:]) is not None and "||" not in command[:start]
        start = command.find(check, start + 1)
    return None


def changes_files(command: str) -> bool:
    """Whether the command's text shows that it changes files of the workspace. Programs that do so on their own
    account, such as a test that leaves a log, are not seen."""
    bodies = "\n".join(match[0] for match in _HEREDOC.finditer(command))
    bare = _HEREDOC.sub(" ", command)
    if _REDIRECT.search(_QUOTED.sub(_without_angle, bare)):
        return True
    return any(_changes(words, command, bodies) for words in _simple_commands(bare))


_PRINTERS = re.compile(
    r"cat|bat|head|tail|less|more|nl|grep|egrep|fgrep|rg|ag|ack|sed|awk|strings|jq|diff|find|ls|echo|printf"
)


def prints_files(command: str) -> bool:
    """Whether all that the command does is to print what is in files: a crash that it prints is none of its own."""
    simple = [words for words in _simple_commands(_HEREDOC.sub(" ", command)) if words[0] != "cd"]
    return bool(simple) and all(_prints(words) for words in simple)


def _prints(words: list[str]) -> bool:
    program = words[0].rsplit("/", 1)[-1]
    if program == "git":
        return words[1:2] in (["show"], ["diff"], ["log"], ["grep"], ["blame"], ["status"])
    return _PRINTERS.fullmatch(program) is not None


def _changes(words: list[str], command: str, bodies: str) -> bool:
    program, *arguments = words
    program = program.rsplit("/", 1)[-1]
    if _WRITERS.fullmatch(program):
        return not (arguments and all(a.startswith(("-", "/tmp/")) for a in arguments))  # noqa: S108
    if _COPIES.fullmatch(program):
        return not (arguments and arguments[-1].startswith("/tmp"))  # noqa: S108
    if program == "git":
        named = [a for at, a in enumerate(arguments) if a in ("--check", "--stat") or not _option(arguments, at)]
        if not named or tuple(named[:2]) in _GIT_READS:
            return False
        return _GIT.fullmatch(named[0]) is not None and not (named[0] == "apply" and "--check" in arguments)
    marks = _IN_PLACE.get(program, ())
    if any(a == m or (m[0] == "-" and m[1:2] != "-" and a.startswith(m)) for a in arguments for m in marks):
        return True
    if _INTERPRETERS.fullmatch(program):
        inline = any(a in ("-c", "-e", "--eval", "-") for a in arguments) or not arguments
        return inline and _CODE_WRITES.search(bodies or command) is not None
    return False


def _option(arguments: list[str], at: int) -> bool:
    """Whether this is an option of Git's, or the value of one."""
    return arguments[at].startswith("-") or (at > 0 and arguments[at - 1] in ("-C", "-c"))


def _simple_commands(command: str) -> Iterator[list[str]]:
    """The words of each command in a line of several. What can't be taken apart is split at white space."""
    lexer = shlex.shlex(command.replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.commenters = ""
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:
        words = command.replace("\n", " ; ").split()
    simple: list[str] = []
    for word in [*words, ";"]:
        if word and set(word) <= set(";&|()"):
            if trimmed := _without_prefix(simple):
                yield trimmed
            simple = []
        else:
            simple.append(word)


def _without_prefix(words: list[str]) -> list[str]:
    """Without assignments, and without programs that only run another."""
    at = 0
    while at < len(words):
        word = words[at]
        if re.fullmatch(r"\w+=.*", word, re.DOTALL) or word in (
            "sudo",
            "time",
            "env",
            "exec",
            "nohup",
            "xargs",
            "then",
        ):
            at += 1
        elif word == "timeout":
            at += 2
        elif at and word.startswith("-") and words[at - 1] in ("sudo", "env", "xargs", "timeout"):
            at += 1
        else:
            break
    return words[at:]


def _without_angle(match: re.Match[str]) -> str:
    return match[0].replace(">", " ").replace("<", " ")
