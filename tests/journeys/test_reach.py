"""C6, C7 and the budgets of strangers, over WebSocket and HTTP of a real relay."""

import hashlib
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from client.work import Piece, find_work
from relay.services.strangers import stranger_budget
from relay.session import proof
from relay.wire.frames import Accepted, Deliver, EnvelopeClass, Grant, Outcome, Refused, Submit, Target
from relay.wire.links import encode_bytes
from tests.raw_device import RawDevice, send
from tests.raw_socket import (
    RawSocket,
    anonymous,
    authenticated,
    caught_up,
    over_http,
    resumed,
    stored,
    submit_to,
)
from tests.running_relay import World, open_world

CONTACT, LINK, PUBLIC, GROUP = (bytes((number,)) * 16 for number in range(1, 5))
CLASSES = {"contact": CONTACT, "link": LINK, "public": PUBLIC, "group": GROUP}
BITS = 6


@pytest.fixture
async def world() -> AsyncIterator[World]:
    limits = {"stranger_burst": 4, "stranger_mailbox_percent": 15, "public_work_bits": BITS}
    async with open_world(limits=limits) as opened:
        yield opened


async def reachable(world: World, **classes: bytes) -> RawDevice:
    """A registered device with a token of each of these classes."""
    device = await world.member()
    for token_class, token in classes.items():
        assert (await device.add_token(token, token_class)).status == 204
    return device


def worked(submit: Submit) -> Submit:
    """With the proof of work of its grant."""
    grant = submit.grants[0]
    work = find_work(Piece(submit.envelope_id, grant.account_id, grant.token, BITS), given_up=lambda: False)
    assert work is not None
    return Submit(*(getattr(submit, name) for name in submit.__struct_fields__[:-1]), (work,))


async def outcome(socket: RawSocket, submit: Submit) -> Outcome:
    await socket.send(submit)
    (only,) = (await socket.expect(Accepted)).outcomes
    return only


async def test_e6_strangers_use_up_their_class_and_contacts_do_not_notice(world: World):
    bob = await reachable(world, **CLASSES)
    async with anonymous(bob) as stranger:
        assert [await outcome(stranger, submit_to(bob, LINK)) for _ in range(6)] == [
            *[Outcome.STORED] * 4,
            *[Outcome.BUDGET_SPENT] * 2,
        ]
        assert [await outcome(stranger, worked(submit_to(bob, PUBLIC))) for _ in range(5)] == [
            *[Outcome.STORED] * 4,
            Outcome.BUDGET_SPENT,
        ]
        await stored(stranger, *(submit_to(bob, CONTACT) for _ in range(50)))
        await stored(stranger, *(submit_to(bob, GROUP) for _ in range(50)))
        answered = await over_http(bob, submit_to(bob, LINK))
        assert answered.json["outcomes"] == [Outcome.BUDGET_SPENT]


async def test_what_was_refused_for_the_budget_is_taken_later_with_the_same_bytes(world: World):
    bob = await reachable(world, link=LINK)
    async with anonymous(bob) as stranger:
        await stored(stranger, *(submit_to(bob, LINK) for _ in range(4)))
        late = submit_to(bob, LINK, b"late")
        assert await outcome(stranger, late) is Outcome.BUDGET_SPENT
        world.clock.let_pass(seconds=stranger_budget(world.relay.services.settings.limits)[1] + 1)
        assert await outcome(stranger, late) is Outcome.STORED
    async with resumed(bob) as reader:
        assert (await reader.deliveries(5))[-1].ciphertext == b"late"


async def test_a_stranger_who_reaches_no_device_pays_nothing_and_a_full_fan_out_pays_once(world: World):
    bob = await reachable(world, link=LINK)
    nobody = Submit(
        1,
        os.urandom(16),
        EnvelopeClass.DURABLE,
        False,
        60,
        (b"x",),
        (Target(bytes(16), 0, 0), Target(bytes(15) + b"1", 0, 0)),
        (Grant(bob.account_id, LINK, 1),),
    )
    async with anonymous(bob) as stranger:
        for _ in range(5):
            await stranger.send(nobody)
            assert (await stranger.expect(Accepted)).outcomes == (Outcome.UNKNOWN_DEVICE,) * 2
        await stored(stranger, *(submit_to(bob, LINK) for _ in range(4)))


async def test_each_target_of_a_submit_is_answered_for_its_own_grant(world: World):
    bob, carla = await reachable(world, contact=CONTACT), await reachable(world, link=LINK, public=PUBLIC)
    envelope_id = os.urandom(16)
    grants = (
        Grant(bob.account_id, CONTACT, 1),
        Grant(carla.account_id, PUBLIC, 1),
        Grant(carla.account_id, b"wrong token here", 1),
    )
    targets = (
        Target(bob.device_id, 0, 0),
        Target(carla.device_id, 0, 1),
        Target(bytes(16), 0, 2),
    )
    unworked = Submit(1, envelope_id, EnvelopeClass.DURABLE, False, 60, (b"x",), targets, grants)
    work = find_work(Piece(envelope_id, carla.account_id, PUBLIC, BITS), given_up=lambda: False)
    assert work is not None
    async with anonymous(bob) as sender:
        await sender.send(unworked)
        assert (await sender.expect(Accepted)).outcomes == (
            Outcome.STORED,
            Outcome.WORK_REQUIRED,
            Outcome.NOT_ALLOWED,
        )
        await sender.send(
            Submit(2, envelope_id, EnvelopeClass.DURABLE, False, 60, (b"x",), targets, grants, (b"", work))
        )
        assert (await sender.expect(Accepted)).outcomes == (
            Outcome.STORED,
            Outcome.STORED,
            Outcome.NOT_ALLOWED,
        )


async def test_work_is_told_in_the_relay_document_and_asked_for_over_http_too(world: World):
    bob = await reachable(world, public=PUBLIC)
    document = await send(world.session, "GET", bob.url("/.well-known/tokenim"))
    assert document.json["limits"]["public_work_bits"] == BITS
    assert document.json["anonymous_submit"] is True
    bare = submit_to(bob, PUBLIC)
    assert (await over_http(bob, bare)).json["outcomes"] == [Outcome.WORK_REQUIRED]
    assert (await over_http(bob, worked(bare))).json["outcomes"] == [Outcome.STORED]


# C6, C7: all classes, all ways in.


async def ways_in(bob: RawDevice, token: bytes, asker: RawDevice) -> dict[str, object]:
    """What each way in answers to this token, without what differs from request to request."""
    async with anonymous(bob) as sender:
        sent = await outcome(sender, worked(submit_to(bob, token)))
    posted = await over_http(bob, worked(submit_to(bob, token)))
    headers = {"TokenIM-Delivery-Token": encode_bytes(token)}
    manifests = await send(
        bob.session, "GET", bob.url(f"/v1/accounts/{bob.account}/manifests?from=1"), headers=headers
    )
    bundles = await asker.call("POST", f"/v1/accounts/{bob.account}/bundles", {"token": encode_bytes(token)})
    return {
        "websocket": sent.name,
        "http": Outcome(posted.json["outcomes"][0]).name,
        "manifests": manifests.code if manifests.status >= 400 else "answered",
        "bundles": bundles.code if bundles.status >= 400 else "answered",
    }


OPEN = {"websocket": "STORED", "http": "STORED", "manifests": "answered", "bundles": "answered"}
SHUT = {
    "websocket": "NOT_ALLOWED",
    "http": "NOT_ALLOWED",
    "manifests": "not_allowed",
    "bundles": "not_allowed",
}


@pytest.mark.parametrize("token_class", CLASSES)
async def test_c7_an_expired_a_removed_a_wrong_and_a_foreign_token_open_nothing(
    world: World, token_class: str
):
    bob, asker = await reachable(world), await world.member()
    token = CLASSES[token_class]
    expires_at_ms = world.clock.now_ms() + 600_000
    assert (await bob.add_token(token, token_class, expires_at_ms)).status == 204
    assert await ways_in(bob, token, asker) == OPEN

    world.clock.let_pass(seconds=600)
    assert await ways_in(bob, token, asker) == SHUT, "expired"

    assert (await bob.add_token(token, token_class)).status == 204
    assert await ways_in(bob, token, asker) == OPEN, "given anew"
    removed = await bob.call("DELETE", f"/v1/delivery-tokens/{encode_bytes(hashlib.sha256(token).digest())}")
    assert removed.status == 204
    assert await ways_in(bob, token, asker) == SHUT, "removed"

    carla = await reachable(world, **{token_class: token})
    assert await ways_in(bob, token, asker) == SHUT, "of another account"
    assert await ways_in(carla, token, asker) == OPEN
    assert await ways_in(carla, b"w" * 16, asker) == SHUT, "wrong"


@pytest.mark.parametrize("token_class", CLASSES)
async def test_c7_removing_one_token_cuts_nobody_who_has_another(world: World, token_class: str):
    bob, asker = await reachable(world, **CLASSES), await world.member()
    hashed = encode_bytes(hashlib.sha256(CLASSES[token_class]).digest())
    assert (await bob.call("DELETE", f"/v1/delivery-tokens/{hashed}")).status == 204
    for other, token in CLASSES.items():
        assert await ways_in(bob, token, asker) == (SHUT if other == token_class else OPEN)


async def test_c6_without_a_token_an_account_that_is_there_looks_like_none(world: World):
    bob, asker = await reachable(world, **CLASSES), await world.member()
    nobody = world.device()
    for token in (b"w" * 16, bytes(16)):
        assert await ways_in(bob, token, asker) == await ways_in(nobody, token, asker) == SHUT
    async with anonymous(bob) as sender:
        answers = [
            await _answer(sender, Submit(1, bytes(16), EnvelopeClass.EPHEMERAL, False, 0, (b"x",), *rest))
            for rest in (
                ((Target(bob.device_id, 0, 0),), (Grant(bob.account_id, b"w" * 16, 0),)),
                ((Target(nobody.device_id, 0, 0),), (Grant(nobody.account_id, b"w" * 16, 0),)),
                ((Target(bob.device_id, 0, 0),), (Grant(bob.account_id, b"", 0),)),
            )
        ]
        assert answers == [Accepted(1, (Outcome.NOT_ALLOWED,))] * 3


async def _answer(sender: RawSocket, submit: Submit) -> Accepted:
    await sender.send(submit)
    return await sender.expect(Accepted)


# No anonymous submits.


@pytest.fixture
async def signed_world() -> AsyncIterator[World]:
    async with open_world(anonymous_submit=False) as opened:
        yield opened


async def test_a_relay_without_anonymous_submits_says_so_and_refuses_them(signed_world: World):
    bob, alice = await reachable(signed_world, contact=CONTACT), await signed_world.member()
    document = await send(signed_world.session, "GET", bob.url("/.well-known/tokenim"))
    assert document.json["anonymous_submit"] is False
    async with anonymous(bob) as nobody, authenticated(alice) as sender:
        submit = submit_to(bob, CONTACT, b"signed")
        await nobody.send(submit)
        assert await nobody.expect(Refused) == Refused(1, "not_allowed", 0)
        assert await outcome(sender, submit) is Outcome.STORED
        assert await outcome(sender, submit_to(bob, b"w" * 16)) is Outcome.NOT_ALLOWED
        assert await outcome(sender, submit_to(alice, b"")) is Outcome.STORED
        assert await outcome(sender, submit_to(bob, b"")) is Outcome.NOT_ALLOWED
    assert (await over_http(bob, submit)).code == "not_allowed"
    assert (await over_http(bob, submit, signer=alice)).json["outcomes"] == [Outcome.STORED]
    async with resumed(bob) as reader:
        assert (await reader.expect(Deliver)).ciphertext == b"signed"


async def test_a_suspended_account_writes_where_submits_are_anonymous_and_nowhere_else(
    world: World, signed_world: World
):
    for opened, expected in ((world, "STORED"), (signed_world, "not_allowed")):
        bob, alice = await reachable(opened, contact=CONTACT), await opened.member()
        services = opened.relay.services
        await services.store.accounts.set_suspended(alice.account_id, True, owner="owner")
        services.devices.forget_account(alice.account_id)
        submit = submit_to(bob, CONTACT)
        signer = None if opened is world else alice
        answered = await over_http(bob, submit, signer=signer)
        told = Outcome(answered.json["outcomes"][0]).name if answered.status == 200 else answered.code
        assert told == expected


# The hot path.


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Signatures that the relay verified."""
    seen: list[bytes] = []
    verify = proof.verify_signature

    def counting(key: bytes, message: bytes, signature: bytes) -> None:
        seen.append(signature)
        verify(key, message, signature)

    monkeypatch.setattr(proof, "verify_signature", counting)
    return seen


@pytest.mark.parametrize("is_anonymous", [True, False])
async def test_an_envelope_costs_no_signature_and_no_question_to_the_store(
    is_anonymous: bool, verified: list[bytes], monkeypatch: pytest.MonkeyPatch
):
    async with open_world(anonymous_submit=is_anonymous) as world:
        bob, alice = await reachable(world, contact=CONTACT), await world.member()
        asked: list[str] = []
        store = world.relay.services.store
        for part, names in (
            (store.accounts, ("account", "device", "spend_nonce", "mark_seen")),
            (store.delivery_tokens, ("resolve", "list")),
        ):
            for name in names:
                monkeypatch.setattr(part, name, _counting(getattr(part, name), name, asked))
        opened = anonymous(bob) if is_anonymous else authenticated(alice)
        async with opened as sender:
            await stored(sender, submit_to(bob, CONTACT))
            asked.clear()
            verified.clear()
            await stored(sender, *(submit_to(bob, CONTACT, request_id=n) for n in range(1, 201)))
            assert asked == []
            assert verified == []
        async with resumed(bob) as reader:
            assert await caught_up(reader) == 201
            assert asked, "the counting counts nothing"
            assert verified, "the counting counts nothing"


def _counting(method: Any, name: str, asked: list[str]) -> Any:
    async def counted(*arguments: Any, **named: Any) -> Any:
        asked.append(name)
        return await method(*arguments, **named)

    return counted


async def test_each_of_a_strangers_submits_reads_the_clock_once_and_all_of_a_contact_together(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    bob = await reachable(world, contact=CONTACT, link=LINK)
    mailboxes = world.relay.services.mailboxes
    submits = [submit_to(bob, token) for token in (CONTACT, LINK) for _ in range(100)]
    meter = world.relay.services.rates.submit_meter(None)
    await mailboxes.authorise(submits[:1], None, meter)
    readings = 0
    monotonic_ms = world.clock.monotonic_ms

    def counted() -> int:
        nonlocal readings
        readings += 1
        return monotonic_ms()

    monkeypatch.setattr(mailboxes._strangers._strange, "_monotonic_ms", counted)
    monkeypatch.setattr(mailboxes._strangers._known, "_monotonic_ms", counted)
    judged = await mailboxes.authorise(submits, None, meter)
    assert len(judged) == len(submits)
    assert readings == 1 + len(submits) // 2
