"""Docker engines by name: which one a name means, and how it is reached. Everything here blocks.

A name is "" (what the `docker` command would use here), an address (`unix://`, `tcp://`, `ssh://`) or a Docker context.
`ssh://` needs the `ssh` program alone: it forwards the far engine's socket to one of ours, for as long as we live.
"""

import contextlib
import hashlib
import json
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from backends.sandboxes.protocol import SandboxError

if TYPE_CHECKING:
    from docker import DockerClient

REMOTE_SOCKET = "/var/run/docker.sock"
"""Where an engine listens on a machine that is reached by ssh, unless the address has a path."""
ANSWER_SECONDS = 120.0
"""The most that an engine may take for an answer: one that makes 25 containers at once is slow."""
SSH_SECONDS = 30.0
CONNECTIONS = 64
_WHERE = ("DOCKER_HOST", "DOCKER_CONTEXT")
_TUNNEL = "multitrack-ssh-"
_ADDRESS = re.compile(r"(unix|tcp|ssh)://\S+")
_CONTEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


class HostError(SandboxError):
    """An engine can't be reached, or not be used; the message says what to do."""


def malformed(name: str) -> str:
    """What is wrong with a host's name, "" when it can be one. Looks at nothing but the name."""
    if _CONTEXT.fullmatch(name):
        return ""
    if not _ADDRESS.fullmatch(name):
        return "is neither a Docker context nor an address (unix://, tcp://, ssh://)"
    try:
        parts = urlsplit(name)
        port = parts.port
    except ValueError:
        return "is no address"
    if parts.password or parts.query or parts.fragment:
        return "carries a password or a query"
    if parts.scheme == "unix":
        return "" if parts.path else "names no socket"
    if not parts.hostname or parts.hostname.startswith("-") or (parts.username or "").startswith("-"):
        return "names no machine"
    return "needs a port" if parts.scheme == "tcp" and not port else ""


class Host:
    """One engine. `name` is as in the task file, "" for the one that is used here."""

    def __init__(self, name: str, environ: Mapping[str, str]) -> None:
        self.name = name
        self._environ = dict(environ)
        self._opened: DockerClient | None = None
        self._tunnel: _Tunnel | None = None
        self._opening = threading.Lock()

    def __str__(self) -> str:
        return self.name or "here"

    @property
    def said(self) -> str:
        """What people are told: `the Docker engine`, and where it is when that was said."""
        return f"the Docker engine {self.name}" if self.name else "the Docker engine"

    @property
    def place(self) -> str:
        """Where it is looked for: its name, or what the environment has in the place of one; "" where that is usual."""
        if self.name:
            return self.name
        return next((f"{said} ({name})" for name in _WHERE if (said := self._environ.get(name, ""))), "")

    def client(self) -> "DockerClient":
        """A client of it, shared by all threads, made when it is first asked for. HostError when there is none."""
        with self._opening:
            if self._opened is None:
                self._opened = self._connected()
            return self._opened

    def version(self) -> str:
        """The engine's version. HostError when it doesn't answer."""
        from docker.errors import DockerException

        try:
            return str(self.client().version()["Version"])
        except (DockerException, OSError, KeyError) as error:
            raise HostError(unreachable(self.place, error)) from error

    def has(self, image: str) -> bool:
        """Whether an image is there. HostError when it doesn't answer."""
        from docker.errors import DockerException, ImageNotFound

        try:
            self.client().images.get(image)
        except ImageNotFound:
            return False
        except (DockerException, OSError) as error:
            raise HostError(unreachable(self.place, error)) from error
        return True

    def load(self, seconds: float) -> tuple[int, int]:
        """How many containers run there, and its processors; HostError without an answer in so many seconds."""
        from docker.errors import DockerException

        try:
            api = self.client().api
            if self._tunnel is not None:
                self._tunnel.renew()
            # Not the SDK's own `info`: that waits as long as everything else.
            answer = api.get(f"{api.base_url}/info", timeout=seconds)
            answer.raise_for_status()
            found = answer.json()
            return int(found["ContainersRunning"]), max(int(found["NCPU"]), 1)
        except (DockerException, OSError, ValueError, KeyError) as error:
            raise HostError(unreachable(self.place, error)) from error

    def close(self) -> None:
        """Let go of it; the next `client` reaches it anew."""
        with self._opening:
            if self._opened is not None:
                with contextlib.suppress(Exception):
                    self._opened.close()
            if self._tunnel is not None:
                self._tunnel.close()
            self._opened = self._tunnel = None

    def _connected(self) -> "DockerClient":
        import docker
        from docker.constants import MINIMUM_DOCKER_API_VERSION
        from docker.errors import DockerException

        try:
            url, tls = self._address()
            if url.startswith("ssh://"):
                self._tunnel = _Tunnel(url, self._environ)
                url, tls = self._tunnel.url, None
            client = docker.DockerClient(
                base_url=url,
                tls=tls or False,
                timeout=int(ANSWER_SECONDS),
                max_pool_size=CONNECTIONS,
                version=MINIMUM_DOCKER_API_VERSION,
            )
            if tls:
                # Or the authorities that the environment names for others would take the place of Docker's.
                client.api.trust_env = False
            # What the SDK itself would have done, had it asked before it could be told that.
            vars(client.api)["_version"] = client.api.version(api_version=False)["ApiVersion"]
            return client
        except HostError:
            raise
        except (DockerException, OSError, ValueError, KeyError) as error:
            if self._tunnel is not None:
                self._tunnel.close()
                self._tunnel = None
            raise HostError(unreachable(self.place, error)) from error

    def _address(self) -> tuple[str, Any]:
        from docker.utils import kwargs_from_env

        if wrong := malformed(self.name) if self.name else "":
            raise HostError(f'the Docker host "{self.name}" {wrong}')
        if "://" in self.name:
            # The certificates that the environment names are those for any address without a context of its own.
            tls = kwargs_from_env(self._environ).get("tls") if self.name.startswith("tcp://") else None
            return self.name, tls
        if not self.name and (given := kwargs_from_env(self._environ)).get("base_url"):
            return str(given["base_url"]), given.get("tls")
        return self._context(self.name or self._environ.get("DOCKER_CONTEXT", ""))

    def _context(self, name: str) -> tuple[str, Any]:
        """Where a context's engine listens, and how we know each other; "" is the one in use. Read from the docker
        command's own files: the SDK finds them only beside a config.json, which nobody needs to have."""
        from docker.tls import TLSConfig
        from docker.utils import parse_host

        folder = Path(self._environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
        try:
            name = name or str(_json(folder / "config.json").get("currentContext") or "default")
            if name == "default":
                return str(parse_host(None)), None
            place = hashlib.sha256(name.encode()).hexdigest()
            endpoint = _json(folder / "contexts" / "meta" / place / "meta.json")["Endpoints"]["docker"]
            url, trusting = str(endpoint["Host"]), bool(endpoint.get("SkipTLSVerify"))
        except FileNotFoundError:
            raise HostError(
                f'there is no Docker context "{name}": `docker context ls` lists them. '
                "An address begins with unix://, tcp:// or ssh://."
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise HostError(f'the Docker context "{name}" can\'t be read from {folder}: {error!r}') from error
        files = {one: folder / "contexts" / "tls" / place / "docker" / f"{one}.pem" for one in ("ca", "cert", "key")}
        has = {one: str(file) for one, file in files.items() if file.is_file()}
        if not has and not trusting:
            return url, None
        pair = (has["cert"], has["key"]) if "cert" in has and "key" in has else None
        return url, TLSConfig(client_cert=pair, ca_cert=has.get("ca"), verify=not trusting)


def _json(file: Path) -> dict[str, Any]:
    """A file of the docker command's; nothing is in the main one when it is not there."""
    if file.name == "config.json" and not file.exists():
        return {}
    found: dict[str, Any] = json.loads(file.read_bytes())
    return found


def unreachable(place: str, error: BaseException) -> str:
    """Why an engine can't be reached, and what to do: by the first cause that the operating system named."""
    where = f" at {place}" if place else ""
    said = str(error)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PermissionError) or "Permission denied" in said:
            return (
                f"the Docker engine{where} may not be used by you: join its group (`sudo usermod -aG docker $USER`, "
                "then log in again), or use a rootless engine"
            )
        cause = cause.__cause__ or cause.__context__
    if "FileNotFoundError" in said or "No such file" in said or "Connection refused" in said:
        start = "start it (`sudo systemctl start docker`, or Docker Desktop)"
        if place.startswith("tcp://"):
            start = "see whether it runs there, and listens on that port"
        return f'no Docker engine answers{where}: {start}, or do without it (sandbox.kind = "local", --sandbox local)'
    if "certificate" in said.lower() or "SSLError" in said:
        return (
            f"the Docker engine{where} is not who it should be, or doesn't know us: look at the certificates ({said})"
        )
    return f"no Docker engine answers{where}: {said[:300]}"


class _Tunnel:
    """A socket of ours that leads to an engine on another machine."""

    def __init__(self, url: str, environ: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        self._url, self._environ = url, dict(environ)
        self._folder = tempfile.mkdtemp(prefix=_TUNNEL)
        socket = str(Path(self._folder) / "s")
        self.url = f"unix://{socket}"
        self._where = parts.hostname or ""
        self._command = [
            *("ssh", "-T", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-o", "StreamLocalBindUnlink=yes"),
            *("-o", f"ConnectTimeout={SSH_SECONDS:.0f}", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3"),
            *("-o", "ControlPath=none", "-L", f"{socket}:{parts.path if len(parts.path) > 1 else REMOTE_SOCKET}"),
            *(("-l", parts.username) if parts.username else ()),
            *(("-p", str(parts.port)) if parts.port else ()),
            *("--", self._where, "cat"),
        ]
        self._renewing = threading.Lock()
        try:
            self._process = self._begun()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def renew(self) -> None:
        """Start ssh again when it has ended; the socket stays where it is. HostError when that can't be done."""
        with self._renewing:
            if self._process.poll() is not None:
                self._process = self._begun()

    def _begun(self) -> "subprocess.Popen[bytes]":
        try:
            # It ends with us however we end: `cat` has nothing more to read then.
            process = subprocess.Popen(
                self._command,
                env=self._environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise HostError(f"ssh can't be run, and {self._url} needs it: {error}") from error
        stopping = threading.Timer(SSH_SECONDS, process.kill)
        stopping.start()
        try:
            forwarded = _echoes(process)
        finally:
            stopping.cancel()
        if not forwarded:
            assert process.stderr is not None
            process.kill()
            said = process.stderr.read().decode("utf-8", "replace").strip().splitlines()
            _end(process)
            why = said[-1] if said else "it took too long"
            raise HostError(
                f"{self._url} can't be reached: {why}. Try `ssh {self._where} true`: it must go without a question."
            )
        # Warnings would fill the pipe, and nobody reads them.
        threading.Thread(target=_drain, args=[process], name="ssh-words", daemon=True).start()
        return process

    def close(self) -> None:
        """End ssh, and remove the socket."""
        with self._renewing:
            self._process.kill()
            _end(self._process)
        shutil.rmtree(self._folder, ignore_errors=True)


def _echoes(process: "subprocess.Popen[bytes]") -> bool:
    """Whether a line comes back from the other side: what is forwarded is so before."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(b"\n")
        process.stdin.flush()
        return process.stdout.read(1) == b"\n"
    except OSError:
        return False


def _drain(process: "subprocess.Popen[bytes]") -> None:
    assert process.stderr is not None
    with contextlib.suppress(OSError, ValueError):
        while process.stderr.read(4096):
            pass


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()
