"""Who may make an account: by invite, by work where the relay is open, nobody where it is closed; and what people are told."""

import hashlib
import json
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from client import registration
from client.client import Client
from client.errors import Refused, UsageError
from client.work import AccountPiece, find_account_work
from relay.wire.transcripts import registration_work_transcript
from tests import command
from tests.chatting import open_people, texts
from tests.relay_process import run, serving
from tests.running_relay import open_world

BITS = {"registration_work_bits": 6}


async def test_anybody_gets_into_an_open_relay_by_work_and_talks(tmp_path: Path):
    async with open_people(tmp_path, "alice", registration="open", limits=BITS) as people:
        url = people.world.relay.url
        made = await Client.register(tmp_path / "bob", url + "/", handle="bob")
        assert (made.role, made.handle, made.relay) == ("member", "bob", url)
        async with people.client("alice") as alice, Client.open(tmp_path / "bob") as bob:
            await bob.send("alice", "I came by myself")
            assert await texts(alice) == ["I came by myself"]
        # An invite is good there too, and costs no work.
        moderator = await Client.register(
            tmp_path / "carol", await people.world.relay.invite(role="moderator")
        )
        assert moderator.role == "moderator"


def zero_bits(piece: AccountPiece, work: bytes) -> int:
    """How many this work has."""
    hashed = registration_work_transcript(
        origin=piece.origin,
        account_id=piece.account_id,
        manifest_hash=piece.manifest_hash,
        time_ms=piece.time_ms,
        work=work,
    )
    return 256 - int.from_bytes(hashlib.sha256(hashed).digest(), "big").bit_length()


async def test_a_client_looks_for_more_when_the_relay_asks_for_more_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[int] = []
    async with open_world(registration="open", limits=BITS, registrations_an_hour=1) as world:
        identity = world.relay.services.identity

        def find(piece: AccountPiece, *, given_up: Callable[[], bool]) -> bytes | None:
            asked.append(piece.bits)
            if len(asked) > 1:
                return find_account_work(piece, given_up=given_up)
            for _ in range(6):  # others were faster
                identity._work.count()
            return next(
                work for number in count() if zero_bits(piece, work := number.to_bytes(8, "big")) == 6
            )

        monkeypatch.setattr(registration, "find_account_work", find)
        await Client.register(tmp_path / "bob", world.relay.url)
        assert asked == [6, 9]
        assert world.relay.services.figures.value("refused_total", "work_required") == 1


async def test_a_client_gives_up_when_more_is_asked_for_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with open_world(registration="open", limits={"registration_work_bits": 24}) as world:
        monkeypatch.setattr(registration, "find_account_work", lambda *_, **__: bytes(8))
        with pytest.raises(Refused) as refused:
            await Client.register(tmp_path / "bob", world.relay.url)
        assert (refused.value.reason, refused.value.retryable) == ("work_required", True)


@pytest.mark.parametrize(("policy", "reason"), [("invite", "invite_invalid"), ("closed", "not_allowed")])
async def test_without_an_invite_nobody_gets_into_another_relay(tmp_path: Path, policy: str, reason: str):
    async with open_world(registration=policy) as world:
        with pytest.raises(Refused) as refused:
            await Client.register(tmp_path / "bob", world.relay.url)
        assert refused.value.reason == reason
        answered = await world.device().register_without_invite()
        assert answered.code == ("invite_invalid" if policy == "invite" else "not_allowed")


async def test_what_is_neither_invite_nor_address_is_wrong_usage(tmp_path: Path):
    for text in ("chat.example", "https://chat.example/path", "http://chat.example#v1.nonsense"):
        with pytest.raises(UsageError):
            await Client.register(tmp_path / "bob", text)


async def test_an_answer_that_was_lost_is_given_again_without_new_work(tmp_path: Path):
    async with open_world(registration="open", limits={"registration_work_bits": 24}) as world:
        device = world.device()
        invite = await world.relay.invite()
        assert (await device.register(invite)).status == 201
        assert (await device.register_without_invite()).status == 201
        other = await world.device().register_without_invite()
        assert (other.status, other.code) == (403, "work_required")


async def test_a_registration_that_is_refused_makes_the_next_no_dearer(tmp_path: Path):
    limits = {"registration_work_bits": 4}
    async with open_world(registration="open", limits=limits, registrations_an_hour=1) as world:
        identity = world.relay.services.identity
        for name in ("alice", "bob"):  # somewhat less than two, by the time that they fade
            await Client.register(tmp_path / name, world.relay.url, handle=name)
        assert identity.registration_work_bits == 5
        for number in range(3):
            with pytest.raises(Refused) as refused:
                await Client.register(tmp_path / str(number), world.relay.url, handle="alice")
            assert refused.value.reason == "handle_taken"
            assert identity.registration_work_bits == 5


async def test_an_operator_opens_and_closes_a_relay_while_it_runs(tmp_path: Path):
    data, file = tmp_path / "data", tmp_path / "relay.toml"
    limits = "[limits]\nregistration_work_bits = 4\n"
    file.write_text(limits)
    with serving(data, "--config", str(file)) as served:
        status, _, told = await command.call(tmp_path / "a", "register", served.url)
        assert (status, "invite_invalid" in told) == (command.REFUSED, True)
        for policy, wanted in (("open", command.DONE), ("closed", command.REFUSED)):
            file.write_text(f'registration = "{policy}"\n{limits}')
            served.process.send_signal(signal.SIGHUP)
            while json.loads(served.process.stderr.readline())["event"] != "settings_reloaded":
                pass
            assert (await command.call(tmp_path / policy, "register", served.url))[0] == wanted
        assert served.stop()[0] == 0
    assert len(run("account", "list", "--data", str(data), "--json").stdout.splitlines()) == 1
