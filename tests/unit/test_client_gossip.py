"""Contacts tell each other which manifests they hold, and the log's head; what does not fit is told with what proves it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from client.account import new_account
from client.contents import ContentType, decode_content
from client.envelopes import Encrypted
from client.signals import draft_signal
from client.store import gossip_rows
from client.store.log_rows import all_evidence, keep_head, keep_own_proof, note_made, own_proof, unconnected
from client.store.peers import find_peer, save_chain
from client.transparency.claims import settle_claims, tell_unknown_own
from client.transparency.evidence import ManifestEvidence, ask_for_evidence
from client.transparency.gossip import EVERY_MS
from client.trust import adopt
from crypto.manifest import SignedManifest, build_manifest, sign_manifest
from crypto.manifest_chain import VerifiedManifest, verify_chain
from crypto.transparency import Gossip, SignedHead
from relay.wire.links import InviteLink
from tests.client_pair import START_MS, Clock, Person, bodies, open_person
from tests.crypto_people import SeededRandom
from tests.signed_log import RELAY, SignedLog

INVITE = InviteLink("http://relay.example", RELAY.public, bytes(16))


@asynccontextmanager
async def contacts(folder: Path) -> AsyncIterator[tuple[Person, Person]]:
    """Alice and Bob, who have written to each other."""
    clock = Clock()
    people = [
        new_account(INVITE, name, now_ms=START_MS, random=SeededRandom(name)) for name in ("alice", "bob")
    ]
    async with (
        open_person(folder / "alice", "alice", clock, people[0]) as alice,
        open_person(folder / "bob", "bob", clock, people[1]) as bob,
    ):
        await alice.knows(bob)
        await bob.receive(await alice.say(bob, "hello"))
        await alice.receive(await bob.say(alice, "hello yourself"))
        yield alice, bob


async def gossip_in(sender: Person, to: Person, text: str = "more") -> Gossip | None:
    """What the next text carries."""
    await sender.draft(to, text)
    assert isinstance(await sender.encrypt(to), Encrypted)
    (row,) = await sender.outgoing()
    gossip = decode_content(row.content).gossip
    return Gossip.parse(gossip) if gossip else None


def following(chain: VerifiedManifest, signer: Person, *, seed: str = "intruder") -> SignedManifest:
    """A next version that says something else of the one device, signed by its key."""
    added_at_ms = START_MS + len(seed)
    entries = [replace(entry, added_at_ms=added_at_ms) for entry in chain.manifest.devices]
    body = build_manifest(chain.manifest.root_public, chain.version + 1, chain.hash, entries)
    return sign_manifest(body, signer.account.local.signing, signer.account.device_id)


def longer(chain: VerifiedManifest, signed: SignedManifest) -> VerifiedManifest:
    return verify_chain(chain.account_id, chain, [signed])


async def believes(person: Person, chain: VerifiedManifest) -> None:
    """What somebody was shown as the newest list of another account."""
    await person.database.run(lambda tx: save_chain(tx, chain))


async def fetched(person: Person, chain: VerifiedManifest) -> None:
    """The relay was asked, and this is the newest it has."""

    def settle(tx) -> None:
        adopt(tx, person.account, chain, START_MS)
        claims = gossip_rows.claims_about(tx, chain.account_id)
        settle_claims(tx, person.account, chain, claims, START_MS, is_newest=True)

    await person.database.run(settle)


async def evidence(person: Person) -> list[tuple[str, bytes, bytes]]:
    return [(row.kind, row.known, row.other) for row in await person.database.read(all_evidence)]


async def exchange(asker: Person, shower: Person) -> None:
    """Ask for what is wanted, and get it."""
    assert await asker.database.run(lambda tx: ask_for_evidence(tx, asker.account, asker.system))
    for one, other in ((asker, shower), (shower, asker)):
        assert isinstance(await one.encrypt(other), Encrypted)
        await other.receive([row.envelopes[0].ciphertext for row in await one.outgoing()])


async def test_gossip_goes_when_a_manifest_changed_and_once_a_day(tmp_path: Path) -> None:
    log = SignedLog()
    log.grow(3)
    async with contacts(tmp_path) as (alice, bob):
        assert await gossip_in(alice, bob) is None  # it was in the first content
        head = log.head()
        await alice.database.run(lambda tx: keep_head(tx, head))
        assert await gossip_in(alice, bob) is None  # the log grows all the time: that alone is no reason
        alice.clock.ms += EVERY_MS
        own, theirs = alice.account.own, bob.account.own
        assert await gossip_in(alice, bob) == Gossip(1, own.hash, 1, theirs.hash, head)
        assert await gossip_in(alice, bob) is None
        newer = longer(theirs, following(theirs, bob))
        await believes(alice, newer)
        assert (await gossip_in(alice, bob)) == Gossip(1, own.hash, 2, newer.hash, head)


async def test_the_first_content_of_the_user_carries_it_and_nothing_to_strangers_does(tmp_path: Path) -> None:
    clock = Clock()
    async with (
        open_person(tmp_path / "alice", "alice", clock) as alice,
        open_person(tmp_path / "bob", "bob", clock) as bob,
    ):
        await alice.knows(bob)

        def hidden(tx) -> None:
            draft_signal(tx, alice.account, [bob.id], 4_000, b"\xc0", alice.system)

        await alice.database.run(hidden)
        assert isinstance(await alice.encrypt(bob), Encrypted)
        (row,) = await alice.outgoing()
        assert decode_content(row.content).gossip == b""
        assert await gossip_in(alice, bob) is not None


async def test_a_stranger_is_not_listened_to(tmp_path: Path) -> None:
    clock = Clock()
    async with (
        open_person(tmp_path / "alice", "alice", clock) as alice,
        open_person(tmp_path / "bob", "bob", clock) as bob,
    ):
        await alice.knows(bob)
        await bob.receive(await alice.say(bob, "hello"))
        alice.account = alice.account.with_chain(
            longer(alice.account.own, following(alice.account.own, alice))
        )
        await believes(alice, alice.account.own)
        taken = await bob.receive(await alice.say(bob, "with another list"))
        assert not taken.look_at_log
        assert await bob.database.read(gossip_rows.claimed_accounts) == []


async def test_a10_a_list_of_mine_that_i_never_made_is_told_with_both_signed_objects(tmp_path: Path) -> None:
    """Bob was shown a newer list of Alice, signed with a stolen key; the relay has none for her."""
    async with contacts(tmp_path) as (alice, bob):
        forged = following(alice.account.own, alice)
        await believes(bob, longer(alice.account.own, forged))
        taken = await alice.receive(await bob.say(alice, "to you and the intruder"))
        assert taken.look_at_log
        assert await alice.told() == []  # she may have made it on another device: that is looked up first
        peer = await alice.database.read(lambda tx: find_peer(tx, alice.id))
        assert peer is not None
        assert peer.stale
        await fetched(alice, alice.account.own)
        assert await alice.warned() == ["split_view"]
        assert await alice.texts(bob) == bodies("hello yourself", "to you and the intruder")
        await exchange(alice, bob)
        assert await alice.warned() == ["split_view"] * 2
        assert (await evidence(alice))[-1] == (
            "split_view",
            alice.account.own.newest.encode(),
            forged.encode(),
        )
        assert await bob.told() == []


async def test_a10_another_list_of_a_version_that_i_made_is_told_at_once(tmp_path: Path) -> None:
    async with contacts(tmp_path) as (alice, bob):
        mine, forged = (following(alice.account.own, alice, seed=seed) for seed in ("mine", "forged"))
        await believes(bob, longer(alice.account.own, forged))
        first = alice.account.own
        alice.account = alice.account.with_chain(longer(first, mine))
        await believes(alice, alice.account.own)
        taken = await alice.receive(await bob.say(alice, "to the intruder"))
        assert not taken.look_at_log
        assert await alice.warned() == ["split_view"]
        await exchange(alice, bob)
        assert (await evidence(alice))[-1] == ("split_view", mine.encode(), forged.encode())
        for _ in range(2):  # the same again is not told again
            alice.clock.ms += EVERY_MS
            await alice.receive(await bob.say(alice, "again"))
        assert await alice.warned() == ["split_view"] * 2


async def test_a_newer_list_that_i_made_elsewhere_is_fetched_and_no_alarm(tmp_path: Path) -> None:
    async with contacts(tmp_path) as (alice, bob):
        newer = longer(alice.account.own, following(alice.account.own, alice))
        await believes(bob, newer)
        assert (await alice.receive(await bob.say(alice, "to both"))).look_at_log
        await fetched(alice, newer)
        assert await alice.told() == []
        assert await alice.database.read(gossip_rows.claimed_accounts) == []


async def test_a10_a_contact_whose_list_is_another_than_the_relay_shows_is_an_alarm(tmp_path: Path) -> None:
    async with contacts(tmp_path) as (alice, bob):
        true, forged = (following(bob.account.own, bob, seed=seed) for seed in ("true", "forged"))
        first = bob.account.own
        await believes(alice, longer(first, forged))
        bob.account = bob.account.with_chain(longer(first, true))
        await believes(bob, bob.account.own)
        await alice.receive(await bob.say(alice, "from my two devices"))
        assert await alice.warned() == ["split_view"]
        await exchange(alice, bob)
        assert await alice.warned() == ["split_view", "devices_forked"]
        assert (await evidence(alice))[-1] == ("devices_forked", forged.encode(), true.encode())
        peer = await alice.database.read(lambda tx: find_peer(tx, bob.id))
        assert peer is not None
        assert peer.forked  # nothing is sent any more


@pytest.mark.parametrize("shown", ["same", "another", "none"])
async def test_a_newer_list_of_a_contact_is_fetched_before_it_is_judged(tmp_path: Path, shown: str) -> None:
    async with contacts(tmp_path) as (alice, bob):
        first = bob.account.own
        true, forged = (following(first, bob, seed=seed) for seed in ("true", "forged"))
        bob.account = bob.account.with_chain(longer(first, true))
        await believes(bob, bob.account.own)
        assert (await alice.receive(await bob.say(alice, "from my new device"))).look_at_log
        assert await alice.told() == []
        at_relay = {"same": longer(first, true), "another": longer(first, forged), "none": first}[shown]
        await fetched(alice, at_relay)
        assert await alice.warned() == ([] if shown == "same" else ["split_view"])
        assert await alice.database.read(gossip_rows.claimed_accounts) == []


async def test_a10_a_head_that_contradicts_the_known_one_is_told_by_gossip(tmp_path: Path) -> None:
    log = SignedLog()
    log.grow(8)
    async with contacts(tmp_path) as (alice, bob):
        mine, theirs = log.head(), log.forked(5).head()
        await alice.database.run(lambda tx: keep_head(tx, mine))
        await bob.database.run(lambda tx: keep_head(tx, theirs))
        bob.clock.ms += EVERY_MS
        await alice.receive(await bob.say(alice, "a day later"))
        assert await alice.warned() == ["log_split"]
        assert await evidence(alice) == [("log_split", mine.encode(), theirs.encode())]


async def test_a_larger_head_of_a_contact_waits_to_be_connected(tmp_path: Path) -> None:
    log = SignedLog()
    log.grow(8)
    async with contacts(tmp_path) as (alice, bob):
        heads = log.head(5), log.head(8)
        await alice.database.run(lambda tx: keep_head(tx, heads[0]))
        await bob.database.run(lambda tx: keep_head(tx, heads[1]))
        bob.clock.ms += EVERY_MS
        assert (await alice.receive(await bob.say(alice, "a day later"))).look_at_log
        (waiting,) = await alice.database.read(unconnected)
        assert (waiting.source, waiting.head) == (bob.id, heads[1])


async def ask(
    asker: Person, to: Person, about: bytes, version: int, manifest_hash: bytes, shown: bytes = b""
) -> None:
    """Whatever a hostile contact asks or shows."""
    body = msgspec.msgpack.encode(ManifestEvidence(about, version, manifest_hash, shown))

    def add(tx) -> None:
        draft_signal(tx, asker.account, [to.id], ContentType.MANIFEST_EVIDENCE, body, asker.system)

    await asker.database.run(add)
    assert isinstance(await asker.encrypt(to), Encrypted)
    await to.receive([row.envelopes[0].ciphertext for row in await asker.outgoing()])


async def test_only_manifests_of_the_two_who_talk_are_shown_and_each_once(tmp_path: Path) -> None:
    async with (
        contacts(tmp_path) as (alice, bob),
        open_person(tmp_path / "carol", "carol", alice.clock) as carol,
    ):
        await alice.knows(carol)
        await alice.say(carol, "hello")
        await ask(bob, alice, carol.id, 1, carol.account.own.hash)
        assert isinstance(await alice.encrypt(bob), Encrypted)
        assert await alice.outgoing() == []
        for _ in range(3):
            await ask(bob, alice, alice.id, 1, alice.account.own.hash)
        await alice.encrypt(bob)
        assert len(await alice.outgoing()) == 1


async def test_a_manifest_that_was_not_asked_for_is_not_looked_at(tmp_path: Path) -> None:
    async with contacts(tmp_path) as (alice, bob):
        forged = following(alice.account.own, alice)
        await ask(bob, alice, alice.id, 2, forged.hash, forged.encode())
        assert await alice.told() == []
        assert await evidence(alice) == []


async def test_what_is_shown_without_a_good_signature_is_told_as_such(tmp_path: Path) -> None:
    async with contacts(tmp_path) as (alice, bob):
        mine = following(alice.account.own, alice, seed="mine")
        forged = following(alice.account.own, bob, seed="forged")  # Bob's key is none of Alice's
        forged = SignedManifest(forged.body, alice.account.device_id, forged.signature)
        alice.account = alice.account.with_chain(longer(alice.account.own, mine))
        await believes(alice, alice.account.own)
        held = VerifiedManifest(alice.id, (alice.account.own.chain[0], forged))
        await believes(bob, held)
        await alice.receive(await bob.say(alice, "I hold something else"))
        await exchange(alice, bob)
        told = [str(one) for one in await alice.told()]
        assert len(told) == 2
        assert "not validly signed" in told[1]


async def test_a10_an_own_manifest_that_this_device_signed_and_never_made_is_told(tmp_path: Path) -> None:
    async with contacts(tmp_path) as (alice, _):
        made, forged = (following(alice.account.own, alice, seed=seed) for seed in ("made", "forged"))

        def come(tx, signed: SignedManifest) -> None:
            tell_unknown_own(tx, alice.account, longer(alice.account.own, signed), START_MS)

        await alice.database.run(lambda tx: note_made(tx, made.hash))
        await alice.database.run(lambda tx: come(tx, made))
        assert await alice.told() == []
        await alice.database.run(lambda tx: come(tx, forged))
        assert await alice.warned() == ["own_manifest_unknown"]
        assert await evidence(alice) == [
            ("own_manifest_unknown", alice.account.own.newest.encode(), forged.encode())
        ]


@pytest.mark.parametrize("broken", [None, "another manifest", "another key", "bytes"])
async def test_the_proof_in_a_set_up_is_checked_on_receipt(tmp_path: Path, broken: str | None) -> None:
    log = SignedLog()
    log.grow(4)
    clock = Clock()
    accounts = [new_account(INVITE, name, now_ms=START_MS, random=SeededRandom(name)) for name in "ab"]
    async with (
        open_person(tmp_path / "alice", "alice", clock, accounts[0]) as alice,
        open_person(tmp_path / "bob", "bob", clock, accounts[1]) as bob,
    ):
        log.add((bob if broken == "another manifest" else alice).account.own.newest)
        if broken == "another key":
            log.key = alice.account.local.signing
        proof = log.inclusion(4).encode() if broken != "bytes" else b"what is no proof"
        await alice.database.run(lambda tx: keep_own_proof(tx, alice.account.own.hash, proof))
        assert await alice.database.read(lambda tx: own_proof(tx, bytes(32))) == b""
        await alice.knows(bob)
        await bob.receive(await alice.say(bob, "hello"))
        if broken is None:
            assert await bob.told() == []
            assert await bob.texts(alice) == bodies("hello")
        else:
            assert await bob.warned() == ["log_refused"]
            assert await bob.texts(alice) == []


async def test_a10_a_set_up_with_a_head_that_contradicts_the_known_one_is_told(tmp_path: Path) -> None:
    log = SignedLog()
    log.grow(4)
    clock = Clock()
    accounts = [new_account(INVITE, name, now_ms=START_MS, random=SeededRandom(name)) for name in "ab"]
    async with (
        open_person(tmp_path / "alice", "alice", clock, accounts[0]) as alice,
        open_person(tmp_path / "bob", "bob", clock, accounts[1]) as bob,
    ):
        log.add(alice.account.own.newest)
        mine: SignedHead = log.forked(2).head()
        await bob.database.run(lambda tx: keep_head(tx, mine))
        proof = log.inclusion(4).encode()
        await alice.database.run(lambda tx: keep_own_proof(tx, alice.account.own.hash, proof))
        await alice.knows(bob)
        await bob.receive(await alice.say(bob, "hello"))
        assert await bob.warned() == ["log_split"]
        assert await bob.texts(alice) == bodies("hello")
