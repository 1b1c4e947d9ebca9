"""TLS on a relay process: people talk by https and wss, a renewed certificate comes in, nothing is in the clear by oversight."""

import asyncio
import json
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from client.client import Client
from relay.adapters.system_clock import SystemClock
from relay.composition import Machine
from relay.control.asking import ask
from relay.testing import open_test_relay
from relay.wire.codec import SUBPROTOCOL, decode_from_relay
from relay.wire.frames import Challenge, Notice, NoticeKind, Ready
from tests import command
from tests.certificates import Authority
from tests.chatting import waiting
from tests.relay_process import Served, run, serving
from tests.running_relay import open_world


class HurriedClock(SystemClock):
    """Timers come twenty times sooner."""

    def call_later(self, seconds, callback):
        return super().call_later(seconds / 20, callback)


def refused(finished: subprocess.CompletedProcess[str], *told: str) -> None:
    """It did not start, and said so in one line that has all of this."""
    assert finished.returncode == 2
    (line,) = finished.stderr.splitlines()
    assert [words for words in told if words not in line] == []


async def logged(served: Served, event: str) -> dict:
    """The next line of the log with this event."""
    while line := await asyncio.to_thread(served.process.stderr.readline):
        if json.loads(line)["event"] == event:
            return json.loads(line)
    pytest.fail(f"the relay ended, and never told {event}")


@pytest.mark.proves("M-AUTH-01")
async def test_e7_two_people_talk_by_https_and_wss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    authority, file, data = Authority(), tmp_path / "relay.toml", tmp_path / "data"
    file.write_text(authority.pair().settings(tmp_path))
    with serving(data, "--config", str(file)) as served:
        assert served.url.startswith("https://127.0.0.1:")
        # Nobody knows this authority: the client goes no further, and says why.
        register = ("register", served.invite or "", "--handle", "alice")
        status, _, told = await command.call(tmp_path / "alice", *register)
        assert (status, "certificate" in told) == (command.NOT_REACHED, True)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.write(tmp_path / "authority.pem")))
        await command.done(tmp_path / "alice", *register)

        # In this process it is too late for the variable: aiohttp reads it when it is imported.
        monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", authority.trusting())
        made = await asyncio.to_thread(ask, data, "invite.create", {"role": "member"})
        await Client.register(tmp_path / "bob", made["link"], handle="bob")
        async with Client.open(tmp_path / "alice") as alice, Client.open(tmp_path / "bob") as bob:
            await alice.send("bob", "hello by TLS")
            (message,) = await waiting(bob)
            assert (message.text, message.name) == ("hello by TLS", "alice")
        assert served.stop()[0] == 0


async def serial_of(trusting: ssl.SSLContext, url: str, *, over: socket.socket | None = None) -> int:
    """Of the certificate that a new connection (`over`: this one) gets, on which a request is answered."""
    reader, writer = await (
        asyncio.open_connection("127.0.0.1", URL(url).port, ssl=trusting)
        if over is None
        else asyncio.open_connection(sock=over, ssl=trusting, server_hostname="127.0.0.1")
    )
    writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answered = await reader.read()
    assert answered.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nStrict-Transport-Security: max-age=31536000\r\n" in answered
    tls = writer.get_extra_info("ssl_object")
    assert (tls.version(), tls.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
    writer.close()
    return int(tls.getpeercert()["serialNumber"], 16)


async def test_e7_sighup_brings_a_renewed_certificate_and_other_settings_and_connections_go_on(
    tmp_path: Path,
):
    authority, file = Authority(), tmp_path / "relay.toml"
    first, second = authority.pair(), authority.pair()
    tls = first.settings(tmp_path)
    file.write_text(tls)
    trusting = authority.trusting()
    connector = aiohttp.TCPConnector(ssl=trusting)
    with serving(tmp_path / "data", "--config", str(file)) as served:
        async with aiohttp.ClientSession(connector=connector) as session:
            assert await serial_of(trusting, served.url) == first.serial
            async with session.ws_connect(f"{served.url}/v1/connect", protocols=(SUBPROTOCOL,)) as old:
                (challenge,) = decode_from_relay(await old.receive_bytes())
                assert isinstance(challenge, Challenge)
                await old.send_bytes(b"\x91\x91\x05")  # [[anonymous]]
                (ready,) = decode_from_relay(await old.receive_bytes())

                second.write(tmp_path)
                file.write_text('listen = "127.0.0.1:1"\n' + tls + "[limits]\nmailbox_envelopes = 77\n")
                served.process.send_signal(signal.SIGHUP)
                assert (await logged(served, "settings_reloaded"))["changed"] == ["limits.mailbox_envelopes"]
                # `listen` is set on the command line, which goes first: nothing waits for a restart.
                await logged(served, "tls_renewed")
                assert await serial_of(trusting, served.url) == second.serial
                async with session.get(f"{served.url}/.well-known/tokenim") as document:
                    assert (await document.json(content_type=None))["limits"]["mailbox_envelopes"] == 77
                (notice,) = decode_from_relay(await old.receive_bytes())
                assert isinstance(notice, Notice)
                assert notice.kind is NoticeKind.LIMITS_CHANGED
                assert isinstance(ready, Ready)
                assert notice.data != (ready.limits_digest,)

                (tmp_path / "privkey.pem").write_bytes(first.key)
                file.write_text('listen = "127.0.0.1:1"\n[limits]\nmailbox_envelope = 3\n')
                served.process.send_signal(signal.SIGHUP)
                reason = (await logged(served, "settings_refused"))["reason"]
                assert f"{file}: there is no setting `limits.mailbox_envelope`; did you mean" in reason
                file.write_text(tls.replace("[tls]", "plain_http = true\n[tls]"))
                served.process.send_signal(signal.SIGHUP)
                assert (await logged(served, "settings_need_restart"))["changed"] == ["plain_http"]
                assert "does not belong to the certificate" in (await logged(served, "tls_refused"))["reason"]
                assert await serial_of(trusting, served.url) == second.serial

                await old.ping()
                await old.send_bytes(b"\x91\x91\x05")  # out of turn: it is still answered there
                assert await old.receive_bytes()
        assert served.stop()[0] == 0


def test_e7_plain_http_is_spoken_off_loopback_only_if_told(tmp_path: Path):
    everywhere = ("serve", "--data", str(tmp_path), "--listen", "0.0.0.0:0")
    refused(
        run(*everywhere),
        "setting `listen`",
        "by plain HTTP on 0.0.0.0:0",
        "plain_http = true",
        "tls.certificate",
    )
    refused(run(*everywhere, TOKENIM_RELAY_PLAIN_HTTP="false"), "setting `listen`")
    with serving(tmp_path, "--listen", "0.0.0.0:0", TOKENIM_RELAY_PLAIN_HTTP="true") as served:
        assert URL(served.url).host == "127.0.0.1"
        assert served.stop()[0] == 0


def test_e10_no_secret_stands_in_a_setting_and_a_key_is_its_owners_alone(tmp_path: Path):
    pair, file = Authority().pair(), tmp_path / "relay.toml"
    file.write_text(pair.settings(tmp_path))
    start = ("serve", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0", "--config", str(file))
    assert run("config", "check", "--config", str(file)).returncode == 0

    shown = run(*start, TOKENIM_RELAY_TLS__KEY=pair.key.decode())
    refused(shown, "environment: setting `tls.key`: names a file; what is secret stands in that file")
    assert pair.key.decode().splitlines()[1] not in shown.stderr

    (tmp_path / "privkey.pem").chmod(0o644)
    for command_line in (start, ("config", "check", "--config", str(file))):
        refused(run(*command_line), "tls.key", "others can read this secret (mode 0644): run `chmod 600")


async def test_e7_what_came_to_the_proxy_in_the_clear_is_refused():
    async with open_world(proxy={"trusted": ["127.0.0.1"]}) as world:
        answers = {}
        for scheme in ("https", "http", ""):
            headers = {"X-Forwarded-Proto": scheme} if scheme else {}
            async with world.session.get(f"{world.relay.url}/health", headers=headers) as answer:
                answers[scheme] = (answer.status, "Strict-Transport-Security" in answer.headers)
        assert answers == {"https": (200, True), "http": (403, False), "": (200, False)}
    async with (  # nobody believes whom the settings do not name
        open_world() as world,
        world.session.get(f"{world.relay.url}/health", headers={"X-Forwarded-Proto": "https"}) as answer,
    ):
        assert "Strict-Transport-Security" not in answer.headers


async def test_a_slow_handshake_is_no_connection_that_says_nothing(tmp_path: Path):
    authority = Authority()
    certificate, key = authority.pair().write(tmp_path)
    tls = {"certificate": certificate, "key": key}
    async with open_test_relay(machine=Machine(clock=HurriedClock()), tls=tls) as relay:
        port = URL(relay.url).port
        reader, silent = await asyncio.open_connection("127.0.0.1", port, ssl=authority.trusting())
        slow = socket.create_connection(("127.0.0.1", port))
        assert await reader.read() == b""  # cut, after more sweeps than a new connection has
        assert await serial_of(authority.trusting(), relay.url, over=slow)
        silent.close()
