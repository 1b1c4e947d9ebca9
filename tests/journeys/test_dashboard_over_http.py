"""The second listener as a browser and a script see it: logging in, commands over HTTP, the files of the page."""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import relay.web
from relay.services.dashboard_logins import SESSION_SECONDS
from relay.wire.links import encode_bytes
from tests.relay_process import environment, run
from tests.running_relay import World, open_world
from tests.warm.commands import program

PAGE = Path(relay.web.__file__).parent / "page"


@dataclass
class Browser:
    """What a browser keeps of a login."""

    world: World
    cookie: str = ""
    csrf: str = ""
    more: dict[str, str] = field(default_factory=dict)

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """(Status, headers, JSON or text)."""
        own = {
            "Cookie": f"tokenim-dashboard={self.cookie}",
            "TokenIM-CSRF": self.csrf,
            **self.more,
            **headers,
        }
        own = {name.replace("_", "-"): value for name, value in own.items() if value}
        url = f"{self.world.relay.admin_url}{path}"
        async with self.world.session.request(method, url, json=body, headers=own) as answer:
            text = await answer.text()
            told = json.loads(text) if "json" in answer.content_type else text
            return answer.status, answer.headers, told

    async def log_in(self, *, account_id: bytes | None = None) -> "Browser":
        """By a link for this account, or of the machine."""
        secret = self.world.relay.services.logins.link(uid=0, account_id=account_id)
        status, headers, told = await self.send("POST", "/admin/v1/log-in", {"secret": encode_bytes(secret)})
        assert status == 200, told
        self.cookie = headers["Set-Cookie"].partition(";")[0].partition("=")[2]
        self.csrf = told["csrf"]
        return self

    async def ask(self, command: str, **given: Any) -> Any:
        """(Status, answer) of a command."""
        status, _, told = await self.send("POST", f"/admin/v1/{command}", given)
        return status, told


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world(
        store="sqlite", admin={"listen": "127.0.0.1:0"}, web_origins=["https://app.example"]
    ) as world:
        yield world


async def test_e5_the_cookie_is_read_by_no_script_and_sent_with_no_other_page_s_request(world: World) -> None:
    secret = encode_bytes(world.relay.services.logins.link(uid=0))
    browser = Browser(world)
    status, headers, told = await browser.send("POST", "/admin/v1/log-in", {"secret": secret})
    assert status == 200
    parts = headers["Set-Cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/admin/", f"Max-Age={SESSION_SECONDS}"} <= set(parts)
    assert told["account"] is None
    assert "grant_roles" in told["rights"]
    status, _, told = await browser.send("POST", "/admin/v1/log-in", {"secret": secret})
    assert (status, told["code"]) == (401, "unauthenticated")
    assert secret not in world.relay.log.getvalue()


async def test_e5_a_request_without_its_token_or_from_another_page_does_nothing(world: World) -> None:
    browser = await Browser(world).log_in()
    assert (await browser.ask("account.list"))[0] == 200
    for csrf in ("", encode_bytes(bytes(32)), "x"):
        status, told = await Browser(world, browser.cookie, csrf).ask("invite.create")
        assert (status, told["code"]) == (403, "not_allowed")
    for site in ("cross-site", "same-site", "none"):
        status, told = await Browser(world, browser.cookie, browser.csrf, {"Sec-Fetch-Site": site}).ask(
            "invite.create"
        )
        assert (status, told["code"]) == (403, "not_allowed")
    for cookie in ("", encode_bytes(bytes(32)), "x"):
        status, told = await Browser(world, cookie, browser.csrf).ask("invite.create")
        assert (status, told["code"]) == (401, "unauthenticated")
    assert len((await browser.ask("invite.list"))[1]["invites"]) == 1  # the owner's alone


async def test_e5_pages_of_other_origins_read_nothing_whatever_the_settings_allow_them_elsewhere(
    world: World,
) -> None:
    browser = await Browser(world).log_in()
    origin = {"Origin": "https://app.example"}
    _, headers, _ = await browser.send("GET", "/admin/v1/session", **origin)
    assert not [name for name in headers if name.startswith("Access-Control")]
    _, headers, _ = await browser.send(
        "OPTIONS", "/admin/v1/account.list", **origin, Access_Control_Request_Method="POST"
    )
    assert not [name for name in headers if name.startswith("Access-Control")]
    async with world.session.get(f"{world.relay.url}/health", headers=origin) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"


async def test_e5_a_session_is_over_when_somebody_logs_out(world: World) -> None:
    browser = await Browser(world).log_in()
    assert (await browser.send("GET", "/admin/v1/session"))[0] == 200
    status, headers, _ = await browser.send("POST", "/admin/v1/log-out", {})
    assert status == 204
    assert 'tokenim-dashboard=""' in headers["Set-Cookie"]
    assert (await browser.send("GET", "/admin/v1/session"))[0] == 401


async def test_e5_the_page_runs_nothing_but_its_own_files(world: World) -> None:
    status, headers, index = await Browser(world).send("GET", "/")
    assert status == 200
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert (
        policy["default-src"]
        == policy["frame-ancestors"]
        == policy["base-uri"]
        == policy["form-action"]
        == "'none'"
    )
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\son\w+=|\sstyle=|https?://", index)
    names = set(re.findall(r'(?:href|src)="/page/([^"]+)"', index))
    asked: set[str] = set()
    while names - asked:  # every file, and what it imports
        for name in names - asked:
            status, headers, text = await Browser(world).send("GET", f"/page/{name}")
            assert (status, headers["Content-Security-Policy"]) == (200, headers["Content-Security-Policy"])
            if name.endswith((".js", ".mjs")):
                assert headers["Content-Type"].startswith("text/javascript")
                names |= set(re.findall(r'from "\./([^"]+)"', text))
            asked.add(name)
    assert {"preact.mjs", "htm.mjs", "uPlot.esm.js", "app.js"} <= asked
    assert {path.name for path in PAGE.glob("*.*")} - {"index.html"} <= asked, "a file that nothing loads"


async def test_a_file_is_sent_once_and_no_other_file_is_reached(world: World) -> None:
    _, headers, _ = await Browser(world).send("GET", "/page/app.js")
    status, _, text = await Browser(world).send("GET", "/page/app.js", If_None_Match=headers["ETag"])
    assert (status, text) == (304, "")
    for name in ("nothing.js", "README.md", "..%2fadmin.py", "%2e%2e%2fadmin.py", "vendor%2fpreact.mjs"):
        assert (await Browser(world).send("GET", f"/page/{name}"))[0] == 404


def test_libraries_of_the_page_are_those_that_their_packages_have() -> None:
    table = (PAGE / "vendor/README.md").read_text()
    rows = re.findall(r"^\| (\S+) \| \S+ \| [\d.]+ \| \S+ \| ([0-9a-f]{64}) \|$", table, re.MULTILINE)
    kept = {path.name for path in (PAGE / "vendor").iterdir()} - {"README.md"}
    assert {name for name, _ in rows} == {name for name in kept if not name.startswith("LICENSE.")}
    for name, digest in rows:
        assert hashlib.sha256((PAGE / "vendor" / name).read_bytes()).hexdigest() == digest, name


async def test_a_moderator_shuts_a_member_out_but_nobody_above_itself(world: World) -> None:
    moderator = await world.member(role="moderator", handle="mona")
    await world.member(handle="bert")
    for role in ("owner", "admin", "auditor", "operator", "moderator"):
        await world.member(role=role, handle=f"an.{role}")
    browser = await Browser(world).log_in(account_id=moderator.account_id)
    status, told = await browser.ask("account.suspend", account="bert")
    assert (status, told["suspended"]) == (200, True)
    assert (await browser.ask("account.suspend", account="an.moderator"))[0] == 200
    for role in ("owner", "admin", "auditor", "operator"):
        status, told = await browser.ask("account.suspend", account=f"an.{role}")
        assert (status, told["code"]) == (403, "not_allowed"), role
    assert (await browser.ask("invite.create"))[0] == 200
    for role in ("owner", "admin", "auditor", "operator"):
        assert (await browser.ask("invite.create", role=role))[0] == 403, role
    owner = [one for one in (await browser.ask("invite.list"))[1]["invites"] if one["role"] == "owner"]
    assert (await browser.ask("invite.revoke", name=owner[0]["name"]))[0] == 403
    rows = (await (await Browser(world).log_in()).ask("audit.list", limit=3))[1]["rows"]
    assert [row["outcome"] for row in rows if row["action"] == "invite.revoke"] == ["not_allowed"]


async def test_e3_an_admin_makes_no_owner_and_shuts_none_out(world: World) -> None:
    admin = await world.member(role="admin", handle="adam")
    await world.member(role="owner", handle="olga")
    await world.member(role="owner", handle="otto")
    await world.member(handle="bert")
    browser = await Browser(world).log_in(account_id=admin.account_id)
    assert (await browser.ask("role.grant", account="bert", role="admin"))[0] == 200
    for command, given in (
        ("role.grant", {"account": "bert", "role": "owner"}),
        ("role.revoke", {"account": "olga"}),
        ("account.suspend", {"account": "olga"}),
        ("account.delete", {"account": "otto"}),
        ("invite.create", {"role": "owner"}),
    ):
        status, told = await browser.ask(command, **given)
        assert (status, told["code"]) == (403, "not_allowed"), command


async def test_a_script_asks_by_signed_requests(world: World) -> None:
    auditor = await world.member(role="auditor")
    body = json.dumps({"limit": 5}).encode()
    target = "/admin/v1/audit.list"
    headers = {
        "Content-Type": "application/json",
        "Authorization": auditor.authorization("POST", target, hashlib.sha256(body).digest()),
    }
    url = f"{world.relay.admin_url}{target}"
    async with world.session.post(url, data=body, headers=headers) as answer:
        told = await answer.json()
        assert answer.status == 200
        assert told["rows"][0]["action"] == "account.register"
    async with world.session.post(url, data=body, headers=headers) as answer:
        assert answer.status == 401  # D7: the same bytes again


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"nobody": 1}', "application/json", 400),
        (b'{"limit": "many"}', "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"{}", "text/plain", 415),
    ],
)
async def test_what_is_no_argument_is_refused(
    world: World, body: bytes, content_type: str, status: int
) -> None:
    browser = await Browser(world).log_in()
    headers = {
        "Cookie": f"tokenim-dashboard={browser.cookie}",
        "TokenIM-CSRF": browser.csrf,
        "Content-Type": content_type,
    }
    url = f"{world.relay.admin_url}/admin/v1/account.list"
    async with world.session.post(url, data=body, headers=headers) as answer:
        assert answer.status == status


async def test_the_command_prints_a_link_of_a_relay_that_runs(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    done = run("dashboard", "link", "--data", data)
    assert done.returncode != 0
    serve = ("serve", "--data", data, "--listen", "127.0.0.1:0")
    for more, expected in (((), "--admin-listen"), (("--admin-listen", "127.0.0.1:0"), "#login=")):
        process = await asyncio.create_subprocess_exec(
            *program("tokenim-relay"), *serve, *more, stdout=asyncio.subprocess.PIPE, env=environment()
        )
        assert process.stdout is not None
        try:
            while b"ready" not in await process.stdout.readline():
                pass
            done = await asyncio.to_thread(run, "dashboard", "link", "--data", data)
            assert expected in done.stdout + done.stderr
            assert (done.returncode == 0) is bool(more)
            if more:
                done = await asyncio.to_thread(
                    run, "dashboard", "link", "--data", data, "--account", "nobody"
                )
                assert done.returncode == 1
                assert "not_found" in done.stderr
        finally:
            process.terminate()
            await process.wait()
    stopped = run("dashboard", "link", "--data", data)
    assert (stopped.returncode, "start it first" in stopped.stderr) == (1, True)
