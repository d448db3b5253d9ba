"""The environment of what runs in a local sandbox: built up from an allow list, never cut down from the operator's."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

MARKER = "MULTITRACK_SANDBOX"
"""In the environment of every process of a sandbox, as RUN.NAME: how processes are found again to end them."""

COMMAND_MARKER = "MULTITRACK_COMMAND"
"""In the environment of every process of one command."""

ALLOWED = frozenset({
    "LANG", "LANGUAGE", "TZ",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "NIX_SSL_CERT_FILE",
    "DEVELOPER_DIR", "SDKROOT",
    "JAVA_HOME", "GOROOT", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "PYENV_ROOT", "PYENV_VERSION", "NVM_DIR",
})  # fmt: skip
"""What comes over from the operator besides PATH and LC_*: language, certificates, where toolchains lie. No secrets."""

FIXED = {
    "TERM": "dumb",
    "NO_COLOR": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    # An editor that changes nothing: nobody is there to type.
    "EDITOR": "true",
    "VISUAL": "true",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Subagent",
    "GIT_AUTHOR_EMAIL": "subagent@multitrack.invalid",
    "GIT_COMMITTER_NAME": "Subagent",
    "GIT_COMMITTER_EMAIL": "subagent@multitrack.invalid",
    # Bytecode is told stale by whole seconds and size: an edit and a run within one second could run the old code.
    "PYTHONDONTWRITEBYTECODE": "1",
    # Otherwise what was printed before a time-out is lost.
    "PYTHONUNBUFFERED": "1",
}


def sandbox_environment(environ: Mapping[str, str], *, run: str, name: str, home: Path, tmp: Path) -> dict[str, str]:
    """The whole environment of a sandbox's processes, from the operator's `environ`."""
    kept = {key: value for key, value in environ.items() if key in ALLOWED or key.startswith("LC_")}
    # A clone without its `.git` must not be taken for a part of a repository further up.
    places = {"HOME": str(home), "TMPDIR": str(tmp), "GIT_CEILING_DIRECTORIES": str(home.parent)}
    return kept | {"PATH": search_path(environ)} | FIXED | places | {MARKER: f"{run}.{name}"}


def search_path(environ: Mapping[str, str]) -> str:
    """The operator's PATH without our own virtual environment, so that the program's packages don't stand in for the
    repository's. A `python3` is on it in any case."""
    own = Path(sys.prefix, "bin")
    ours = {own, own.resolve()} if sys.prefix != sys.base_prefix else set()
    entries = [entry for entry in environ.get("PATH", "").split(":") if entry.startswith("/")]
    kept = [entry for entry in entries if Path(entry) not in ours and Path(entry).resolve() not in ours]
    path = ":".join(kept) or "/usr/local/bin:/usr/bin:/bin"
    if shutil.which("python3", path=path) is None:
        path += f":{Path(sys.base_prefix, 'bin')}"
    return path


def git_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for our own Git commands in folders that a subagent has written to: nobody's configuration."""
    return {
        "PATH": search_path(environ),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
    }
