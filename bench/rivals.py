"""Other recorders of HTTP traffic, each in a virtual environment of its own in the user's cache, made when it is first
needed: LiteLLM's proxy server with a callback, and mitmproxy in reverse mode with an addon. Each writes what it hears
to a file, a line or a flow a call."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from bench.measuring import Way
from bench.traffic import MODEL

LITELLM, MITMPROXY = "litellm", "mitmproxy"
PACKAGES = {LITELLM: "litellm[proxy]==1.105.3", MITMPROXY: "mitmproxy==11.0.2"}
"""The same LiteLLM as ours; the newest mitmproxy that installs beside this Python."""

STARTING = 180.0
"""Seconds that a rival has to listen: LiteLLM's server takes its time to import."""

CONFIG = """
model_list:
  - model_name: {model}
    litellm_params: {{model: anthropic/{model}, api_base: "http://127.0.0.1:{provider}", api_key: real}}
litellm_settings: {{callbacks: recorder.recorder, num_retries: 0, telemetry: false}}
"""

CALLBACK = """
import json
from litellm.integrations.custom_logger import CustomLogger

file = open("recorded.jsonl", "a", buffering=1)

class Recorder(CustomLogger):
    def note(self, kwargs, answer):
        asked = {name: kwargs.get(name) for name in ("model", "messages", "optional_params", "response_cost")}
        file.write(json.dumps({"asked": asked, "answered": answer}, default=str) + "\\n")

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        self.note(kwargs, response_obj)

    async def async_log_failure_event(self, kwargs, response_obj, start_time, end_time):
        self.note(kwargs, response_obj)

recorder = Recorder()
"""

ADDON = """
from mitmproxy import io

class Recorder:
    def __init__(self):
        self.file = open("recorded.flows", "ab", buffering=0)
        self.writer = io.FlowWriter(self.file)

    def responseheaders(self, flow):
        if flow.response.headers.get("content-type", "").startswith("text/event-stream"):
            pieces = flow.metadata["pieces"] = []
            flow.response.stream = lambda piece: pieces.append(piece) or piece

    def response(self, flow):
        if (pieces := flow.metadata.pop("pieces", None)) is not None:
            flow.response.stream = False
            flow.response.raw_content = b"".join(pieces)
        self.writer.add(flow)

addons = [Recorder()]
"""


ALONE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    "LITELLM_TELEMETRY": "False",
}
"""What LiteLLM's server has to be told where there is no network, no database and nobody to keep out."""


class MissingError(Exception):
    """A rival can't be had here."""


def environment(name: str) -> Path:
    """The folder of a rival's programs, installed if need be. MissingError when that is not possible."""
    package = PACKAGES[name]
    version = package.rpartition("==")[2]
    folder = platformdirs.user_cache_path("multitrack-bench") / f"{name}-{version}"
    done = folder / "installed"
    if not done.exists():
        print(f"installing {package} into {folder} …", file=sys.stderr)
        pip = [str(folder / "bin/pip"), "install", "-q", "--disable-pip-version-check", package]
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
            subprocess.run(pip, check=True, timeout=900)
        except (OSError, subprocess.SubprocessError) as error:
            raise MissingError(f"{package} could not be installed: {error}") from error
        done.touch()
    return folder / "bin"


@contextmanager
def rival(name: str, provider: int, folder: Path) -> Iterator[Way]:
    """A rival up, in front of the provider at that port, its record in that folder. MissingError."""
    programs = environment(name)
    port = _free_port()
    if name == LITELLM:
        (folder / "config.yaml").write_text(CONFIG.format(model=MODEL, provider=provider))
        (folder / "recorder.py").write_text(CALLBACK)
        command = [programs / "litellm", "--config", "config.yaml", "--host", "127.0.0.1", "--port", port]
    else:
        (folder / "addon.py").write_text(ADDON)
        reverse = ["--mode", f"reverse:http://127.0.0.1:{provider}", "--listen-host", "127.0.0.1"]
        command = [programs / "mitmdump", "-q", *reverse, "--listen-port", port, "-s", "addon.py"]
        command += ["--set", f"confdir={folder}", "--set", "validate_inbound_headers=false"]
    environ = {**os.environ, **ALONE, "PYTHONPATH": "", "NO_PROXY": "*"}
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen([str(part) for part in command], cwd=folder, env=environ, stdout=log, stderr=log)
    try:
        _wait_for(port, child, folder / "log")
        yield Way(name, port, "any", child.pid)
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def recorded(name: str, folder: Path) -> int:
    """How many calls a rival has on record."""
    if name == LITELLM:
        return (folder / "recorded.jsonl").read_bytes().count(b"\n")
    # A flow is a netstring; each names its type once.
    return (folder / "recorded.flows").read_bytes().count(b"4:type;4:http;")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, child: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + STARTING
    while time.monotonic() < until and child.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise MissingError(f"it does not listen: {log.read_text()[-400:]}")
