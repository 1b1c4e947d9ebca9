"""Retention on a relay that runs: what is kept how long, done now, and held back from going."""

import asyncio
import base64
from hashlib import sha256
from typing import Any

import pytest

from relay.composition import commands_of
from relay.config import options_of
from relay.services.audit import Action
from relay.services.audit_records import told_row
from relay.services.retention import KEPT, bounded_by_holds, drop_before_ms
from relay.services.roles import Authority
from relay.wire.errors import Conflict, MalformedRequest, NotAllowed
from tests.contract.people import bytes_of
from tests.raw_socket import submit_to
from tests.running_relay import World, open_world

MACHINE = Authority.of_machine(0)
DAY_SECONDS = 86_400


async def run(world: World, name: str, by: Authority = MACHINE, **arguments: Any) -> dict[str, Any]:
    return await commands_of(world.relay.services).run(name, arguments, by=by)


async def rows(world: World) -> list[tuple[str, str, str]]:
    found = [told_row(row) for row in await world.relay.services.store.audit.rows(0, 1_000)]
    return [
        (row["action"], row["outcome"], row["detail"])
        for row in found
        if row["action"].startswith("retention.")
    ]


async def send_to(world: World, device: Any, name: str) -> None:
    """An envelope for this device, for two minutes."""
    store = world.relay.services.store.mailboxes
    submit = submit_to(device, b"", b"opaque", envelope_id=bytes_of(name), ttl_seconds=120)
    from relay.ports.mailboxes import Submission

    one = Submission(submit.envelope_id, submit.ttl_seconds, submit.ciphertexts, ((device.device_id, 0),))
    await store.append([one], now_ms=world.clock.now_ms())


async def stop_rounds() -> None:
    """The relay does no housekeeping by itself any more."""
    (rounds,) = [task for task in asyncio.all_tasks() if task.get_name() == "housekeeping"]
    rounds.cancel()
    await asyncio.wait({rounds})


async def test_each_kind_is_told_with_the_time_that_its_setting_has() -> None:
    async with open_world(limits={"max_ttl_seconds": 3_600}, audit={"keep_days": 30}) as world:
        kinds = {one["kind"]: one for one in (await run(world, "retention.show"))["kinds"]}
        assert list(kinds) == [kept.kind for kept in KEPT]
        assert kinds["envelopes"]["seconds"] == 3_600
        assert kinds["audit_rows"]["seconds"] == 30 * DAY_SECONDS
        assert kinds["accounts"]["seconds"] is None
        settings = {option.name for option in options_of(world.relay.services.settings)}
        assert {kept.setting for kept in KEPT if kept.setting} <= settings


async def test_guests_whose_time_is_over_go_when_it_is_run() -> None:
    async with open_world() as world:
        await stop_rounds()  # the relay's own could be faster
        host = await world.member()
        made = await host.call("POST", "/v1/invites", {"role": "guest", "stay_seconds": 60})
        guest = world.device()
        assert (await guest.register(made.json["link"])).status == 201
        assert (await run(world, "retention.run"))["removed"]["accounts"] == 0
        guests = world.relay.services.store.guests
        assert len(await guests.lapsed("guest", now_ms=2**60, limit=9)) == 1
        world.clock.let_pass(seconds=61)
        assert (await run(world, "retention.run"))["removed"]["accounts"] == 1
        assert await guests.lapsed("guest", now_ms=2**60, limit=9) == ()


async def test_what_is_run_now_is_counted_and_what_is_held_stays() -> None:
    async with open_world() as world:
        anna, bert = await world.member(handle="anna"), await world.member(handle="bert")
        for device in (anna, bert):
            await send_to(world, device, device.account)
        hold = await run(world, "retention.hold", account="anna", reason="case-7", days=30)
        assert hold["until_ms"] - hold["made_at_ms"] == 30 * DAY_SECONDS * 1_000
        world.clock.let_pass(seconds=180)
        removed = (await run(world, "retention.run"))["removed"]
        assert removed["envelopes"] == 2
        assert (await run(world, "retention.run"))["removed"]["envelopes"] == 0
        (told,) = (await run(world, "retention.holds"))["holds"]
        assert (told["account"], told["envelopes"]) == (anna.account, 1)
        released = await run(world, "retention.release", account="anna")
        assert released["reason"] == "case-7"
        assert (await run(world, "retention.run"))["removed"]["held_envelopes"] == 1
        assert [row[:2] for row in await rows(world)] == [
            ("retention.hold", "done"),
            ("retention.run", "done"),
            ("retention.run", "done"),
            ("retention.release", "done"),
            ("retention.run", "done"),
        ]
        assert (await rows(world))[0][2] == "case-7"


async def test_a_hold_ends_by_itself_on_its_day_and_that_is_recorded() -> None:
    async with open_world() as world:
        await world.member(handle="anna")
        await run(world, "retention.hold", account="anna", reason="case-7", days=1)
        world.clock.let_pass(seconds=DAY_SECONDS - 60)
        assert await world.relay.services.retention.end_lapsed() == 0
        world.clock.let_pass(seconds=120)
        assert await world.relay.services.retention.end_lapsed() == 1
        assert (await run(world, "retention.holds"))["holds"] == []
        assert (await rows(world))[-1] == (Action.RETENTION_RELEASE, "done", "case-7")


async def test_a_held_account_that_is_deleted_is_shut_out_and_goes_when_the_hold_ends() -> None:
    async with open_world() as world:
        await world.member(role="owner", handle="owner")
        anna = await world.member(handle="anna")
        named = base64.b64encode(sha256(b"bytes").digest()).decode()
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "5", "Upload-Metadata": f"sha256 {named}"}
        assert (await anna.call("POST", "/v1/blobs", headers=headers)).status == 201
        await run(world, "retention.hold", account="anna", reason="case-7", days=30)
        assert (await anna.call("DELETE", "/v1/accounts/self")).status == 202
        assert len(await world.relay.services.store.blobs.owned(anna.account_id, limit=9)) == 1
        rows = (await run(world, "audit.list"))["rows"]
        assert "account:erased" not in [row["subject"] for row in rows]
        assert (await anna.call("GET", "/v1/mailbox?wait_seconds=0")).code == "not_allowed"
        assert await world.relay.services.deletion.resume() == 0
        with pytest.raises(Conflict, match="goes when the hold on it ends"):
            await run(world, "account.resume", account="anna")
        (told,) = (await run(world, "retention.holds"))["holds"]
        assert told["is_deleted"]
        # It is in the document about the account: a hold is hidden from nobody.
        page = await world.relay.services.exports.page(anna.account_id, after="", limit=500)
        assert [row["reason"] for section, row in page.rows if section == "holds"] == ["case-7"]
        await run(world, "retention.release", account="anna")
        assert await world.relay.services.deletion.resume() == 1
        assert await world.relay.services.store.accounts.account(anna.account_id) is None


async def test_an_operator_is_told_that_a_hold_keeps_what_was_deleted() -> None:
    async with open_world() as world:
        await world.member(handle="anna")
        await world.member(handle="bert")
        hold = await run(world, "retention.hold", account="anna", reason="case-7", days=30)
        assert (await run(world, "account.delete", account="anna"))["held_until_ms"] == hold["until_ms"]
        assert (await run(world, "account.delete", account="bert"))["held_until_ms"] is None


@pytest.mark.parametrize("reason", ["two words", "Case", "", "é", "x" * 65])
async def test_a_reason_is_a_word_that_the_audit_log_can_hold(reason: str) -> None:
    async with open_world() as world:
        await world.member(handle="anna")
        with pytest.raises(MalformedRequest):
            await run(world, "retention.hold", account="anna", reason=reason, days=1)
        assert (await rows(world))[-1][:2] == ("retention.hold", "malformed_request")


async def test_nobody_holds_an_account_that_may_do_more() -> None:
    async with open_world() as world:
        owner, admin = await world.member(role="owner", handle="owner"), await world.member(role="admin")
        by = world.relay.services.roles.authority(admin.account_id, "admin", suspended=False)
        with pytest.raises(NotAllowed):
            await run(world, "retention.hold", by, account="owner", reason="case-7", days=1)
        moderator = world.relay.services.roles.authority(owner.account_id, "moderator", suspended=False)
        with pytest.raises(NotAllowed):
            await run(world, "retention.run", moderator)


async def test_rows_about_a_held_account_keep_what_they_say() -> None:
    day = DAY_SECONDS * 1_000
    assert drop_before_ms(100 * day + 5, 0) is None
    assert drop_before_ms(100 * day + 5, 30) == 70 * day

    async def from_day_50() -> int | None:
        return 50 * day + 7

    async def none() -> int | None:
        return None

    assert await bounded_by_holds(70 * day, from_day_50) == 50 * day
    assert await bounded_by_holds(40 * day, from_day_50) == 40 * day
    assert await bounded_by_holds(70 * day, none) == 70 * day

    async with open_world(audit={"keep_days": 1}) as world:
        await world.member(handle="anna")
        await run(world, "account.suspend", account="anna")
        await run(world, "retention.hold", account="anna", reason="case-7", days=30)
        world.clock.let_pass(seconds=3 * DAY_SECONDS)
        assert (await run(world, "retention.run"))["removed"]["audit_rows"] == 0
        await run(world, "retention.release", account="anna")
        assert (await run(world, "retention.run"))["removed"]["audit_rows"] > 0
