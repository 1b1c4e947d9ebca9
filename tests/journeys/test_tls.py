"""TLS on a relay process: people talk by https and wss, a renewed certificate comes in, nothing is in the clear by oversight."""

import asyncio
import json
import signal
import ssl
import subprocess
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from relay.wire.codec import SUBPROTOCOL, decode_from_relay
from relay.wire.frames import Challenge, Notice, NoticeKind, Ready
from tests import command
from tests.certificates import Authority
from tests.relay_process import Served, run, serving


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


async def test_e7_two_people_talk_by_https_and_wss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    authority, file = Authority(), tmp_path / "relay.toml"
    file.write_text(authority.pair().settings(tmp_path))
    alice, bob = tmp_path / "alice", tmp_path / "bob"
    with serving(tmp_path / "data", "--config", str(file)) as served:
        assert served.url.startswith("https://127.0.0.1:")
        # Nobody knows this authority: the client goes no further, and says why.
        status, _, told = await command.call(alice, "register", served.invite or "", "--handle", "alice")
        assert status == command.NOT_REACHED
        assert "certificate" in told

        monkeypatch.setenv("SSL_CERT_FILE", str(authority.write(tmp_path / "authority.pem")))
        await command.done(alice, "register", served.invite or "", "--handle", "alice")
        another = run("invite", "create", "--data", str(tmp_path / "data"), "--config", str(file))
        await command.done(bob, "register", another.stdout.strip(), "--handle", "bob")
        await command.done(alice, "send", "bob", "hello by TLS")
        (message,) = await command.done(bob, "listen", "--until-caught-up")
        assert (message["text"], message["from"]) == ("hello by TLS", "alice")
        assert served.stop()[0] == 0


async def serial_of(trusting: ssl.SSLContext, url: str) -> int:
    """Of the certificate that a new connection gets, on which a request is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(url).port, ssl=trusting)
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
