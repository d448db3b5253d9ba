"""An engine that is reached through TLS, as `tcp://` ones are: here the usual one, behind a proxy with certificates."""

import asyncio
import contextlib
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.sandboxes import SandboxError
from backends.sandboxes.docker import Host
from tests.dockerrig import engine, sandboxes_of
from tests.sandboxcontract import a_nap, repository, running, shell

pytestmark = engine()

SOCKET = "/var/run/docker.sock"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An authority, and what it signed for both sides, under the names that Docker looks for."""
    folder = tmp_path / "certificates"

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    folder.mkdir()
    new = ["req", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    openssl(*new, "-x509", "-keyout", "ca-key.pem", "-out", "ca.pem", "-subj", "/CN=test")
    for name in ("server", "client"):
        stem = "" if name == "client" else "server-"
        openssl(*new[:4], "-keyout", f"{stem}key.pem", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / f"{name}.ext").write_text("subjectAltName=IP:127.0.0.1\n")
        signing = ["-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-extfile", f"{name}.ext"]
        openssl("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{stem}cert.pem")
    return folder


@pytest.fixture
def port(folder: Path) -> Iterator[int]:
    """The port of a proxy before the usual engine that asks who its clients are. It has a thread of its own."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / "server-cert.pem", folder / "server-key.pem")
    context.verify_mode = ssl.CERT_REQUIRED

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inward, outward = await asyncio.open_unix_connection(SOCKET)
        await asyncio.gather(carry(reader, outward), carry(inward, writer))

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        server.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


@pytest.mark.skipif(not Path(SOCKET).exists(), reason="the usual engine listens elsewhere")
async def test_commands_and_streams_go_through_tls(
    tmp_path: Path, folder: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whom other programs trust is no matter here.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder / "server-key.pem"))
    mirror, revision = repository(tmp_path)
    address = f"tcp://127.0.0.1:{port}"
    known = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(folder)}
    with pytest.raises(SandboxError):
        await asyncio.to_thread(Host(address, {}).client)
    host = Host("", {**os.environ, **known, "DOCKER_HOST": address})
    async with sandboxes_of(tmp_path / "home", mirror, host=host) as sandboxes:
        sandbox = await sandboxes.create("1.1", revision)
        assert await shell(sandbox, "seq 1 100000 | tail -n 1; cat b.txt") == "100000\none\ntwo"
        data = bytes(range(256)) * 20000
        await sandbox.write("large", data)
        assert await sandbox.read("large") == data
        program = await sandbox.stream(["cat"])
        writing = asyncio.create_task(program.write(data))
        assert await program.output.readexactly(len(data)) == data
        await writing
        await program.kill()
        assert await program.ended() == 137
        nap = a_nap()
        assert (await sandbox.run(f"setsid {nap} & {nap}", seconds=1)).timed_out
        assert not running(nap)
        assert b"large" in await sandbox.patch()
