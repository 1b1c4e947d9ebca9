"""A relay that wants a device in somebody's account, or to set the devices of one account against each other."""

import asyncio
import os
from collections.abc import Awaitable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from client import Client
from client.account import Account
from client.devices.accepting import LinkedDevice, Wishes
from client.devices.joining import READY, Talk
from crypto.keys import SigningKeyPair
from crypto.linking import LinkAnswer, LinkDesk, LinkOffer, ScannedLink, begin_link, confirm_link
from crypto.primitives import hpke_seal, sha256
from crypto.transcript import transcript
from relay.wire.links import DeviceLink
from tests.hostile.attacks import Guard, attack, nothing
from tests.hostile.attacks_on_device_lists import account_of, following, put_list
from tests.hostile.attacks_on_mail import NO_GAPS, NOTHING_UNOPENED
from tests.hostile.false_mailbox import FalseMailbox
from tests.hostile.intruder import Intruder
from tests.hostile.middleman import Exchange
from tests.hostile.stage import Person, Stage

REQUEST, ANSWER, CONFIRMATION, LAST = (
    f"/v1/links/*/{slot}" for slot in ("request", "answer", "confirmation", "ready")
)


@dataclass(eq=False)
class Linking:
    """A person takes a new device into the account, and compares the digits as a person does."""

    stage: Stage
    owner: Person
    new: Person
    shown: "asyncio.Future[DeviceLink]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    at_new: "asyncio.Future[str]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    at_owner: "asyncio.Future[str]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @classmethod
    def of(cls, stage: Stage, owner: Person) -> "Linking":
        return cls(stage, owner, stage.stranger(f"{owner.name}'s tablet"))

    async def join(self) -> None:
        """What happens on the new device."""
        talk = Talk(show=self.shown.set_result, confirm=self._confirm_at_new)
        identity = await Client.link(
            self.new.home, self.stage.relay.origin, talk, name="tablet", system=self.new.system
        )
        self.new.is_(identity)

    async def accept(self) -> LinkedDevice:
        """What happens on the owner's device."""
        async with self.owner.client() as client:
            wishes = Wishes(confirm=self._confirm_at_owner, manager=True)
            return await client.devices.accept(str(await self.shown), wishes)

    async def _confirm_at_new(self, digits: str) -> bool:
        self.at_new.set_result(digits)
        return digits == await self.at_owner

    async def _confirm_at_owner(self, digits: str, name: str) -> bool:
        self.at_owner.set_result(digits)
        return digits == await self.at_new

    async def until_one_ends(self, doing: Awaitable[object], beside: Awaitable[object]) -> None:
        """`doing` to its end, with the other side beside it; that one is left then."""
        other = asyncio.ensure_future(beside)
        try:
            await doing
        finally:
            other.cancel()
            await asyncio.gather(other, return_exceptions=True)


async def linked(stage: Stage, owner: Person) -> Person:
    """A second device of this person, a manager too."""
    linking = Linking.of(stage, owner)
    await asyncio.gather(linking.join(), linking.accept())
    return linking.new


def _puts(content: bytes, exchange: Exchange) -> None:
    exchange.status, exchange.body = 200, content


_answer_by_the_desk = LinkDesk.answer


def _answer_anything(self: LinkDesk, scanned: ScannedLink, request: bytes, *rest: Any) -> Any:
    """Whatever request lies there is the one that was scanned."""
    return _answer_by_the_desk(self, ScannedLink(scanned.mailbox_id, sha256(request)), request, *rest)


@attack(Guard("crypto.linking.LinkDesk.answer", _answer_anything))
async def swaps_a_link_request(stage: Stage) -> None:
    """puts a request of its own into the mailbox of a link, to become a device of the account"""
    (bob,) = await stage.people("bob")
    linking = Linking.of(stage, bob)
    offer = begin_link("tablet", os.urandom, bob.system.now_ms())

    def takes_the_answer(exchange: Exchange) -> None:
        scanned = ScannedLink(linking.shown.result().mailbox_id, offer.scanned.request_hash)
        own = LinkOffer(
            scanned, offer.request, offer.sealing, offer.signing, offer.identity, offer.made_at_ms
        )
        used, answer, digits = own.open_answer(exchange.asked, bob.system.now_ms())
        linking.at_new.set_result(digits)  # the owner looks at one screen alone
        stage.relay.answers_itself("GET", CONFIRMATION, partial(_puts, confirm_link(used, answer)))

    stage.relay.answers_itself("GET", REQUEST, partial(_puts, offer.request.encode()))
    stage.relay.answers_itself("PUT", ANSWER, takes_the_answer)
    stage.relay.answers_itself("GET", LAST, partial(_puts, READY))
    await stage.refuses(bob, linking.until_one_ends(linking.accept(), linking.join()), "link_failed")


@attack(Guard("crypto.linking.short_code", lambda request_hash, answer: "00000000"))
async def swaps_a_link_answer(stage: Stage) -> None:
    """answers a link in the name of an account of its own, to get the new device"""
    bob, mallory = await stage.people("bob", "mallory")
    linking = Linking.of(stage, bob)

    def swap(exchange: Exchange) -> None:
        scanned = linking.shown.result()
        request = stage.relay.answer_to("GET", REQUEST).body
        sealing = begin_link("x", os.urandom, 0).request.parse(request).sealing_public
        answer = LinkAnswer(mallory.account_id, mallory.device_id, os.urandom(32))
        info = transcript(b"tokenim/v1 link answer\0", scanned.mailbox_id, scanned.request_hash)
        _puts(hpke_seal(sealing, info, answer.encode()), exchange)

    stage.relay.changes_answers("GET", ANSWER, swap)

    joining = linking.until_one_ends(linking.join(), linking.accept())
    await stage.refuses(linking.new, joining, "link_failed", within_seconds=8)
    stage.shows(f"the new device shows {linking.at_new.result()}, bob's {linking.at_owner.result()}")


@attack(Guard("crypto.manifest.DeviceEntry.verify", nothing))
async def swaps_a_link_confirmation(stage: Stage) -> None:
    """confirms a link in the new device's place"""
    (bob,) = await stage.people("bob")
    linking = Linking.of(stage, bob)
    forged = SigningKeyPair.generate(os.urandom).sign(b"yes")
    stage.relay.changes_answers("GET", CONFIRMATION, partial(_puts, forged))
    await stage.refuses(bob, linking.until_one_ends(linking.accept(), linking.join()), "link_failed")


@attack(Guard("client.store.notices.tell", nothing))
async def is_another_relay_to_a_new_device(stage: Stage) -> None:
    """shows a new device another signing key than the one that the account pinned"""
    (bob,) = await stage.people("bob")
    stage.signs_its_document(SigningKeyPair.generate(os.urandom))
    tablet = await linked(stage, bob)
    stage.relay.stops()
    await bob.flushes()
    await tablet.listens()
    stage.tells(tablet, "relay_key_changed")


async def _is_told_of_a_list(stage: Stage, thief: Account, bob: Person, kind: str) -> None:
    """The thief adds a device to Bob's account, and the relay takes it; Bob hears of it."""
    intruder = Intruder.of(bob.account_id, bob.system.now_ms())
    entries = [*thief.own.manifest.devices, intruder.entry(0)]
    await put_list(stage, thief, following(thief.own, entries, thief.local.signing, thief.device_id))
    await bob.listens()
    async with bob.online() as live:
        await live.is_told(kind, within_seconds=10)
    stage.tells(bob, kind)


@attack(Guard("client.devices.device_news._tell_step", nothing))
async def adds_a_device_with_a_stolen_manager(stage: Stage) -> None:
    """lets a thief who has the keys of one of somebody's devices add another one"""
    (bob,) = await stage.people("bob")
    tablet = await linked(stage, bob)
    await _is_told_of_a_list(stage, await account_of(tablet), bob, "device_added")


@attack(Guard("client.transparency.claims.was_made_here", lambda tx, manifest_hash: True))
async def adds_a_device_with_the_stolen_keys_of_the_very_device(stage: Stage) -> None:
    """lets a thief who has the keys of somebody's only device add another one"""
    (bob,) = await stage.people("bob")
    await _is_told_of_a_list(stage, await account_of(bob), bob, "own_manifest_unknown")


async def _bob_with_a_tablet(stage: Stage) -> tuple[Person, Person, Person]:
    """Alice, who knows Bob, and both his devices."""
    alice, bob = await stage.people("alice", "bob")
    tablet = await linked(stage, bob)
    await alice.says(bob, "hello")
    for device in (bob, tablet, bob, tablet):
        await device.listens()
    for device in (bob, tablet):
        device.heard.clear()
    return alice, bob, tablet


@attack(NOTHING_UNOPENED)
async def redirects_to_another_device(stage: Stage) -> None:
    """delivers what is for one device to another one of the same account"""
    alice, bob, tablet = await _bob_with_a_tablet(stage)
    at_bob = FalseMailbox.of(bob, lambda envelopes: ())
    await alice.says(bob, "one")
    await bob.listens()
    FalseMailbox.of(tablet, lambda envelopes: [*at_bob.kept, *envelopes])
    await tablet.listens()
    await stage.reads(tablet, alice, "one", after=("hello",))
    stage.tells(tablet, "unopened")


@attack(NO_GAPS)
async def withholds_from_one_device(stage: Stage) -> None:
    """leaves a message out for one device of two"""
    alice, bob, tablet = await _bob_with_a_tablet(stage)
    mailbox = FalseMailbox.of(tablet, lambda envelopes: ())
    await alice.says(bob, "one")
    await tablet.listens()
    mailbox.change = list
    await alice.says(bob, "two")
    await tablet.listens()
    stage.tells(tablet, "gap")
