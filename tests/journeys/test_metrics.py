"""The second listener of a relay process: its figures are those of what people really did."""

import asyncio
import json
import os
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests import command
from tests.relay_process import environment, run
from tests.warm.commands import program

pytestmark = pytest.mark.timeout(120)


async def fetch(url: str) -> tuple[int, str]:
    """Status and text."""

    def get() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(get)


async def figures(url: str) -> dict[tuple[str, ...], float]:
    """(Name without its prefix, label) → value."""
    status, text = await fetch(f"{url}/metrics")
    assert status == 200
    return {
        (sample.name.removeprefix("tokenim_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_the_figures_are_those_of_what_people_did(tmp_path: Path):
    data, alice, bob = tmp_path / "data", tmp_path / "alice", tmp_path / "bob"
    relay = await asyncio.create_subprocess_exec(
        *program("tokenim-relay"),
        *("serve", "--data", str(data), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"),
        stdout=asyncio.subprocess.PIPE,
        env=environment(),
    )
    assert relay.stdout is not None
    try:
        said = dict([(await relay.stdout.readline()).decode().strip().split(" ", 1) for _ in range(3)])
        assert list(said) == ["invite", "admin", "ready"]
        before = await figures(said["admin"])
        assert (before["accounts",], before["registered_total",], before["waiting_envelopes",]) == (0, 0, 0)
        assert before["disk_free_bytes",] > 0

        await command.done(alice, "register", said["invite"], "--handle", "alice")
        invite = run("invite", "create", "--data", str(data)).stdout.strip()
        await command.done(bob, "register", invite, "--handle", "bob")
        await command.done(alice, "send", "bob", "one")
        (tmp_path / "picture").write_bytes(os.urandom(20_000))
        await command.done(alice, "send", "bob", "--file", str(tmp_path / "picture"))
        async with asyncio.timeout(30):  # a look at the store is good for a while
            while (waits := await figures(said["admin"]))["waiting_envelopes",] < 2:  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(0.2)
        assert (waits["accounts",], waits["registered_total",], waits["waiting_envelopes",]) == (2, 2, 2)
        assert waits["oldest_waiting_seconds",] > 0
        accepted = sum(value for name, value in waits.items() if name[0] == "accepted_total")
        assert accepted == 2
        assert waits["bundles_total", "one_time"] == 1
        assert waits["store_seconds_count",] == 2

        status, _, _ = await command.call(tmp_path / "carol", "register", invite, "--handle", "carol")
        assert status == command.REFUSED
        listening = await command.start(bob, "listen", "--json", "--events")
        assert listening.stdout is not None
        async with asyncio.timeout(30):
            while b"caught_up" not in await listening.stdout.readline():
                pass
        now = await figures(said["admin"])
        assert now["connections", "mailbox"] == 1
        assert now["acknowledged_total",] == 2
        assert now["refused_total", "invite_invalid"] == 1
        assert now["requests_total", "4xx"] >= 1
        assert now["request_seconds_count",] > waits["request_seconds_count",]
        listening.terminate()
        await listening.wait()

        # Nothing of it is on the listener that everybody reaches, and nothing else on this one; nobody is named.
        assert (await fetch(f"{said['ready']}/metrics"))[0] == 404
        assert (await fetch(f"{said['admin']}/v1/accounts/self"))[0] == 404
        assert json.loads((await fetch(f"{said['admin']}/ready"))[1])["status"] == "ok"
        text = (await fetch(f"{said['admin']}/metrics"))[1]
        assert not any(name in text for name in ("alice", "bob", "carol"))
    finally:
        relay.terminate()
        assert await relay.wait() == 0


def test_e7_the_second_listener_speaks_in_the_clear_on_loopback_alone(tmp_path: Path):
    done = run("serve", "--data", str(tmp_path), "--listen", "127.0.0.1:0", "--admin-listen", "0.0.0.0:0")
    assert done.returncode == 2
    assert "admin.listen" in done.stderr
    done = run("serve", "--data", str(tmp_path), "--listen", "127.0.0.1:0", "--admin-listen", "nowhere")
    assert (done.returncode, "admin" in done.stderr) == (2, True)
