"""nginx and Caddy of Debian, with the files of deploy/, in front of a real relay: people talk through them by https and wss."""

import asyncio
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import command
from tests.architecture.source import ROOT
from tests.certificates import Authority
from tests.relay_process import run, serving
from tests.servers.ports import free_port

NGINX, CADDY = "/usr/sbin/nginx", "/usr/bin/caddy"
DEPLOY = ROOT / "deploy"


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """With each left side as its right side; a left side that is not there is an error of the test."""
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def nginx_command(place: Path, public: int, relay: int, certificate: Path, key: Path) -> list[str]:
    """The site file as it is, but for names, ports and paths; around it only what Debian's own nginx.conf is for."""
    site = replaced(
        (DEPLOY / "nginx" / "tokenim.conf").read_text(),
        ("127.0.0.1:8080", f"127.0.0.1:{relay}"),
        ("listen 443 ssl http2", f"listen 127.0.0.1:{public} ssl http2"),
        ("    listen [::]:443 ssl http2;\n", ""),
        ("listen 80;", f"listen 127.0.0.1:{free_port()};"),
        ("    listen [::]:80;\n", ""),
        ("/etc/letsencrypt/live/chat.example/fullchain.pem", str(certificate)),
        ("/etc/letsencrypt/live/chat.example/privkey.pem", str(key)),
        ("/var/log/nginx/", f"{place}/"),
        ("chat.example", "127.0.0.1"),
    )
    (place / "site.conf").write_text(site)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {place}/{kind};\n" for kind in kinds)
    (place / "nginx.conf").write_text(
        f"pid {place}/pid;\ndaemon off;\nerror_log {place}/nginx.log;\nevents {{}}\n"
        f"http {{\n{temporary}include {place}/site.conf;\n}}\n"
    )
    return [NGINX, "-p", str(place), "-c", str(place / "nginx.conf"), "-e", str(place / "nginx.log")]


def caddy_command(place: Path, public: int, relay: int, certificate: Path, key: Path) -> list[str]:
    """The Caddyfile as it is; only the certificate, which Caddy would fetch from outside, is given."""
    site = replaced(
        (DEPLOY / "caddy" / "Caddyfile").read_text(),
        ("{$TOKENIM_NAME:chat.example} {\n", f"{{$TOKENIM_NAME}} {{\n\ttls {certificate} {key}\n"),
    )
    (place / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{site}")
    return [CADDY, "run", "--adapter", "caddyfile", "--config", str(place / "Caddyfile")]


PROXIES = {"nginx": nginx_command, "caddy": caddy_command}


@contextmanager
def running(given: list[str], place: Path, public: int, relay: int) -> Iterator[None]:
    """The proxy, listening, until the block ends."""
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/bin",
        "HOME": str(place),
        "TOKENIM_NAME": f"https://127.0.0.1:{public}",
        "TOKENIM_RELAY": f"127.0.0.1:{relay}",
    }
    with (place / "said").open("w") as said:
        process = subprocess.Popen(given, env=environment, stdout=said, stderr=subprocess.STDOUT)
    try:
        while True:
            assert process.poll() is None, (place / "said").read_text()
            try:
                socket.create_connection(("127.0.0.1", public), timeout=5).close()
            except ConnectionRefusedError:
                continue
            break
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_nginx_takes_the_file_as_it_is(tmp_path: Path):
    certificate, key = Authority().pair().write(tmp_path)
    given = nginx_command(tmp_path, free_port(), 8080, certificate, key)
    done = subprocess.run([*given, "-t"], capture_output=True, text=True, check=False, timeout=20)
    assert (done.returncode, "test is successful" in done.stderr) == (0, True), done.stderr
    assert "warn" not in done.stderr


def test_caddy_takes_the_file_as_it_is():
    file = str(DEPLOY / "caddy" / "Caddyfile")
    for given in (["validate", "--adapter", "caddyfile", "--config", file], ["fmt", file]):
        done = subprocess.run([CADDY, *given], capture_output=True, text=True, check=False, timeout=20)
        assert done.returncode == 0, done.stderr
    assert done.stdout == Path(file).read_text()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("proxy", PROXIES)
async def test_people_talk_through_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str):
    authority, public = Authority(), free_port()
    certificate, key = authority.pair().write(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.write(tmp_path / "authority.pem")))
    data, origin = tmp_path / "data", f"https://127.0.0.1:{public}"
    settings = {"TOKENIM_RELAY_ORIGIN": origin, "TOKENIM_RELAY_PROXY__TRUSTED": "127.0.0.1"}
    with serving(data, **settings) as served:
        relay = int(served.url.rpartition(":")[2])
        place = tmp_path / proxy
        place.mkdir()
        with running(PROXIES[proxy](place, public, relay, certificate, key), place, public, relay):
            invite = run("invite", "create", "--data", str(data), **settings).stdout.strip()
            assert invite.startswith(origin)
            await command.done(tmp_path / "alice", "register", served.invite or "", "--handle", "alice")
            await command.done(tmp_path / "bob", "register", invite, "--handle", "bob")
            (tmp_path / "picture").write_bytes(os.urandom(3_000_000))
            listening = await command.start(tmp_path / "bob", "listen", "--json")
            try:
                await command.done(tmp_path / "alice", "send", "bob", "hello through the proxy")
                await command.done(tmp_path / "alice", "send", "bob", "--file", str(tmp_path / "picture"))
                async with asyncio.timeout(60):
                    lines = [await listening.stdout.readline() for _ in range(2)]
            finally:
                listening.terminate()
                await listening.wait()
            assert b"hello through the proxy" in lines[0]
            assert b"picture" in lines[1]
        assert served.stop()[0] == 0
