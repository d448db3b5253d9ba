"""`multitrack proxy --host` with the machine's own address: what other machines can do there, and what they can't."""

import asyncio
import json
import socket
from contextlib import closing
from pathlib import Path

import pytest

from store import tapes
from store.database import open_store
from store.home import Home
from tests.proxyrig import ASK, Client, recorded, streamed
from tests.test_cli_proxy import OWN, Recorder, on_disk, provider, recorder

CONFIGURED = "sk-ant-of-the-operator-" + "x" * 20


def own_address(family: socket.AddressFamily, far: str) -> str:
    """This machine's address on the way to another one; nothing is sent to it. "" where there is no way."""
    with closing(socket.socket(family, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect((far, 9))
            found: str = probe.getsockname()[0]
        except OSError:
            return ""
    return "" if found.startswith("127.") or found == "::1" or "%" in found else found


ADDRESSES = [
    pytest.param(own_address(socket.AF_INET, "198.51.100.1"), id="IPv4"),
    pytest.param(own_address(socket.AF_INET6, "2001:db8::1"), id="IPv6"),
]


async def asked(recorder: Recorder, host: str, headers: str, *, name: str | None = None) -> tuple[int, bytes]:
    """Status and body of a call at that address, with `name` as its Host."""
    port = int(recorder.listening["url"].rpartition(":")[2])
    client = Client(*await asyncio.open_connection(host, port))
    named = name or (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    head = f"POST /anthropic/v1/messages HTTP/1.1\r\nhost: {named}\r\ncontent-length: {len(ASK)}\r\n{headers}\r\n"
    client.writer.write(head.encode() + ASK)
    status, _, body, _ = await client.answer()
    client.close()
    return status, body


@pytest.mark.parametrize("host", ADDRESSES)
async def test_at_an_address_of_the_machine_each_client_needs_its_own_key(tmp_path: Path, host: str) -> None:
    if not host:
        pytest.skip("this machine has no such address")
    environ = {"ANTHROPIC_API_KEY": CONFIGURED}
    async with (
        provider(streamed(recorded("text.sse"))) as upstream,
        recorder(tmp_path, "--host", host, "--upstream", f"anthropic={upstream.base_url}", environ=environ) as proxy,
    ):
        address = f"[{host}]" if ":" in host else host
        assert proxy.listening["url"].startswith(f"http://{address}:")
        assert proxy.url.startswith(f"http://{address}:")

        # Without a key, with a virtual one that is unknown, and with another name for the address: nothing goes out.
        status, body = await asked(proxy, host, "")
        assert (status, json.loads(body)["error"]["type"]) == (401, "authentication_error")
        assert "brings its own" in json.loads(body)["error"]["message"]
        assert (await asked(proxy, host, "x-api-key: mt-unknown\r\n"))[0] == 401
        for name in ("multitrack.example", f"{socket.gethostname()}.example:4141", "203.0.113.9", "0.0.0.0"):
            status, body = await asked(proxy, host, f"x-api-key: {OWN}\r\n", name=name)
            assert status == 403 and "is not this proxy's" in json.loads(body)["error"]["message"]
        status, _ = await asked(proxy, host, f"x-api-key: {OWN}\r\norigin: http://{address}\r\n")
        assert status == 403
        assert upstream.asked == []

        # With one of its own, and the operator's stays at home.
        for header in (f"x-api-key: {OWN}\r\n", f"authorization: Bearer {OWN}\r\n"):
            status, body = await asked(proxy, host, header)
            assert (status, body) == (200, recorded("text.sse"))
        # Loopback is another address.
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", int(proxy.url.rpartition(":")[2].partition("/")[0]))
        ended = (await proxy.stop())[-1]
        assert ended["calls"] == 2
        assert proxy.process.stderr is not None
        said = (await proxy.process.stderr.read()).decode()
    assert f"Other machines can reach {host}, by plain HTTP" in said
    assert "The key of anthropic is not used: " in said and "for clients on this machine alone." in said
    sent = b"".join(each.head for each in upstream.asked)
    assert sent.count(OWN.encode()) == 2 and CONFIGURED.encode() not in sent
    assert OWN.encode() not in on_disk(tmp_path) and CONFIGURED.encode() not in on_disk(tmp_path)
    with open_store(Home(tmp_path).store) as store:
        assert len(tapes.calls(store)) == 2, "what was refused is no call"


async def test_on_loopback_nobody_needs_a_key(tmp_path: Path) -> None:
    async with (
        provider(streamed(recorded("text.sse"))) as upstream,
        recorder(tmp_path, "--upstream", f"anthropic={upstream.base_url}") as proxy,
    ):
        assert (await asked(proxy, "127.0.0.1", ""))[0] == 200
        await proxy.stop()
        assert proxy.process.stderr is not None
        assert b"Other machines" not in await proxy.process.stderr.read()
