"""A relay that does what it likes with envelopes on their way to a device: twice, late, swapped, changed, elsewhere, never."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from client.contents import Content
from client.first_envelope import receive_setup
from client.store import facts, history
from crypto.sessions import Located, PeerSessions, Received, receive
from relay.wire.frames import (
    Accepted,
    Ack,
    CaughtUp,
    ClientFrame,
    Deliver,
    Missed,
    MissedReason,
    Outcome,
    RelayFrame,
    Resume,
    Submit,
)
from tests.hostile.attacks import Guard, attack, forever, nothing
from tests.hostile.false_mailbox import Change, FalseMailbox
from tests.hostile.middleman import Line, ToRelay
from tests.hostile.stage import Person, Stage, hurried_machine

TEXTS = ("one", "two", "three")


def _receive_and_forget(
    peer: PeerSessions, located: Located | None, envelope: bytes, *, now_ms: int
) -> Received:
    """Opens, and stays as it was: so it opens again."""
    return receive(peer, located, envelope, now_ms=now_ms)._replace(sessions=peer)


def _receive_setup_and_forget(peer: PeerSessions, *rest: Any, **options: Any) -> Any:
    opened = receive_setup(peer, *rest, **options)
    return opened._replace(prekeys=rest[4], sessions=peer)


def _keep_again(
    tx: Any, account_id: bytes, device_id: bytes, content: Content, *rest: Any, **options: Any
) -> bool:
    """Keeps what is here already once more."""
    renamed = msgspec.structs.replace(content, message_id=os.urandom(16))
    return _add_incoming(tx, account_id, device_id, renamed, *rest, **options)


_add_incoming = history.add_incoming
ONCE_ALONE = (
    Guard("client.mailbox_round.receive", _receive_and_forget),
    Guard("client.first_envelope.receive_setup", _receive_setup_and_forget),
    Guard("client.store.history.add_incoming", _keep_again),
)
NO_GAPS = Guard("client.store.history.tell_absent", lambda tx: [])
NOTHING_UNOPENED = Guard("client.store.notices.keep_unopened", nothing)


async def acquainted(stage: Stage) -> tuple[Person, Person]:
    """Alice and Bob have written to each other: what follows goes without the set-up around it."""
    alice, bob = await stage.people("alice", "bob")
    await alice.says(bob, "hello")
    await bob.listens()
    await bob.says(alice, "hello to you")
    await alice.listens()
    for person in (alice, bob):
        person.heard.clear()
    return alice, bob


def _twice(envelopes: Sequence[Deliver]) -> Iterable[Deliver]:
    for one in envelopes:
        yield from (one, one)


@attack(*ONCE_ALONE)
async def duplicates_set_ups(stage: Stage) -> None:
    """delivers each first message twice"""
    alice, bob = await stage.people("alice", "bob")
    FalseMailbox.of(bob, _twice)
    await alice.says_all(bob, *TEXTS)
    await bob.listens()
    await stage.reads(bob, alice, *TEXTS)
    stage.nothing_told(bob)


@attack(*ONCE_ALONE)
async def duplicates_messages(stage: Stage) -> None:
    """delivers each message twice"""
    alice, bob = await acquainted(stage)
    FalseMailbox.of(bob, _twice)
    await alice.says_all(bob, *TEXTS)
    await bob.listens()
    await stage.reads(bob, alice, *TEXTS, after=("hello",))
    stage.nothing_told(bob)


@attack(*ONCE_ALONE)
async def replays_on_a_later_connection(stage: Stage) -> None:
    """delivers again, on a later connection, what was acknowledged on an earlier one"""
    alice, bob = await stage.people("alice", "bob")
    mailbox = FalseMailbox.of(bob, list)
    await alice.says_all(bob, *TEXTS)
    await bob.listens()
    mailbox.change = lambda envelopes: [*mailbox.kept[:3], *envelopes]
    await alice.says(bob, "four")
    await bob.listens()
    await stage.reads(bob, alice, *TEXTS, "four")
    stage.nothing_told(bob)


_number = facts.number


def _without_a_place(tx: Any, name: str) -> int:
    """It is forgotten how far the mailbox was read."""
    return 0 if name == facts.COMMITTED_SEQUENCE else _number(tx, name)


@attack(*ONCE_ALONE, Guard("client.store.facts.number", _without_a_place))
async def heeds_no_acknowledgement(stage: Stage) -> None:
    """delivers everything on each connection, whatever was acknowledged"""
    alice, bob = await stage.people("alice", "bob")

    def deaf(line: Line, frames: Sequence[ClientFrame]) -> Iterable[ClientFrame]:
        for frame in frames:
            if isinstance(frame, Ack):
                line.tells_client(CaughtUp(frame.up_to))
            else:
                yield Resume(0) if isinstance(frame, Resume) else frame

    stage.relay.changes_submits(deaf)
    await alice.says_all(bob, *TEXTS)
    await bob.listens()
    await bob.listens()
    await stage.reads(bob, alice, *TEXTS)
    stage.nothing_told(bob)


@attack(Guard("client.store.absent_rows.times_asked", lambda tx, device_id, content: None))
async def reorders(stage: Stage) -> None:
    """delivers in the opposite order"""
    alice, bob = await acquainted(stage)
    FalseMailbox.of(bob, lambda envelopes: list(reversed(envelopes)))
    await alice.says_all(bob, *TEXTS)
    await bob.listens()
    stage.holds(sorted(map(str, bob.texts())) == sorted(TEXTS), "each comes once")
    stage.tells(bob, "reordered")
    kept = await bob.history(alice)
    stage.holds(
        kept == ["hello", *TEXTS], f"bob's history has them in the order in which they were written: {kept}"
    )


def _without_the_second(envelopes: Sequence[Deliver]) -> Iterable[Deliver]:
    return [one for number, one in enumerate(envelopes) if number != 1]


@attack(NO_GAPS)
async def withholds_one(stage: Stage) -> None:
    """leaves one message out"""
    alice, bob = await acquainted(stage)
    FalseMailbox.of(bob, _without_the_second)
    await alice.says_all(bob, *TEXTS)
    await bob.listens()
    stage.tells(bob, "gap")


@attack(NO_GAPS)
async def withholds_all_so_far(stage: Stage) -> None:
    """leaves everything out from the first message on, and then delivers again"""
    alice, bob = await stage.people("alice", "bob")
    mailbox = FalseMailbox.of(bob, lambda envelopes: ())
    await alice.says_all(bob, *TEXTS)
    await bob.listens()
    mailbox.change = list
    await alice.says(bob, "four")
    await bob.listens()
    stage.tells(bob, "gap")


def _never_caught_up(line: Line, frames: Sequence[RelayFrame]) -> Iterable[RelayFrame]:
    return [frame for frame in frames if not isinstance(frame, CaughtUp)]


@attack(Guard("client.inbox.Inbox._look_after_the_relay", forever))
async def withholds_one_and_never_says_that_all_is_here(stage: Stage) -> None:
    """leaves one message out and never says that all is here"""
    alice, bob = await acquainted(stage)
    bob.system = hurried_machine()
    FalseMailbox.of(bob, _without_the_second)
    stage.relay.changes_frames(_never_caught_up)
    await alice.says_all(bob, *TEXTS)
    async with bob.online() as live:
        await live.hears("three")
        await live.is_told("gap", within_seconds=5)
    stage.tells(bob, "gap")


def answering_submits(answer: Callable[[Submit], Iterable[RelayFrame]]) -> ToRelay:
    """No submit reaches the relay; the client gets `answer`."""

    def drop(line: Line, frames: Sequence[ClientFrame]) -> Iterable[ClientFrame]:
        for frame in frames:
            if isinstance(frame, Submit):
                line.tells_client(*answer(frame))
            else:
                yield frame

    return drop


@attack(Guard("client.events._news", forever))
async def never_says_that_all_is_here(stage: Stage) -> None:
    """never says that all is here to somebody who waits for it"""
    (bob,) = await stage.people("bob")
    stage.relay.changes_frames(_never_caught_up)
    await stage.refuses(bob, bob.listens(patience_seconds=0.5), "unreachable", within_seconds=5)


@attack(Guard("client.inbox.Inbox._look_after_the_relay", forever))
async def holds_back_who_listens(stage: Stage) -> None:
    """never says that all is here, so that who listens waits with sending"""
    alice, bob = await acquainted(stage)
    alice.system = hurried_machine()
    stage.relay.changes_frames(_never_caught_up)
    async with alice.online() as live:
        await stage.line_of(alice)
        await stage.succeeds(alice, live.client.send(bob.handle, "one"), within_seconds=5)
    stage.relay.stops()
    await bob.listens()
    await stage.reads(bob, alice, "one", after=("hello",))


@attack(NO_GAPS)
async def accepts_and_drops(stage: Stage) -> None:
    """says that a message is accepted, and drops it"""
    alice, bob = await acquainted(stage)
    await alice.says(bob, "one")
    stage.relay.changes_submits(
        answering_submits(lambda submit: [Accepted(submit.request_id, (Outcome.STORED,))])
    )
    await alice.says(bob, "two")
    stage.relay.stops()
    await alice.says(bob, "three")
    await bob.listens()
    stage.tells(bob, "gap")


@attack(NO_GAPS)
async def numbers_a_message_as_an_old_one(stage: Stage) -> None:
    """gives a new message the sequence number of an old one"""
    alice, bob = await acquainted(stage)
    FalseMailbox.of(bob, list).numbers = lambda sequence: sequence - (sequence == 3)
    await alice.says_all(bob, *TEXTS)
    await bob.listens()
    stage.tells(bob, "gap")


@attack(cannot="it is the relay itself that does not go on then")
async def numbers_a_message_far_ahead(stage: Stage) -> None:
    """gives a message a sequence number far ahead, and skips all below it"""
    alice, bob = await acquainted(stage)
    FalseMailbox.of(bob, list).numbers = lambda sequence: 2**62
    await alice.says(bob, "one")
    await bob.listens()
    stage.relay.stops()
    await alice.says(bob, "two")
    await stage.refuses(bob, bob.listens(patience_seconds=0.5), "unreachable")


@attack(Guard("client.store.notices.tell", nothing))
async def says_that_messages_are_gone(stage: Stage) -> None:
    """makes up that messages have expired"""
    alice, bob = await acquainted(stage)

    def lie(line: Line, frames: Sequence[RelayFrame]) -> Iterable[RelayFrame]:
        for frame in frames:
            if isinstance(frame, Deliver):
                yield Missed(frame.sequence, frame.sequence, MissedReason.EXPIRED)
            else:
                yield frame

    stage.relay.changes_frames(lie)
    await alice.says_all(bob, *TEXTS)
    await bob.listens()
    stage.tells(bob, "missed")


def _open_unchecked(key: bytes, nonce: bytes, ciphertext: bytes, ad: bytes) -> bytes:
    """AES-256-GCM without its tag: counter mode from 2 on; SP 800-38D section 7.2."""
    counter = Cipher(algorithms.AES256(key), modes.CTR(nonce + (2).to_bytes(4, "big")))
    return counter.decryptor().update(ciphertext[:-16])


def changing(change: Callable[[bytes], bytes]) -> Change:
    """The ciphertext of each envelope becomes `change` of it."""
    return lambda envelopes: [
        Deliver(one.sequence, one.envelope_id, one.received_at_ms, one.envelope_class, change(one.ciphertext))
        for one in envelopes
    ]


def flipping(at: int, bits: int) -> Callable[[bytes], bytes]:
    return lambda ciphertext: ciphertext[:at] + bytes((ciphertext[at] ^ bits,)) + ciphertext[at + 1 :]


@attack(Guard("crypto.double_ratchet.aes256gcm_open", _open_unchecked))
async def changes_a_letter(stage: Stage) -> None:
    """changes one letter of a message, in a place that it can guess"""
    alice, bob = await acquainted(stage)
    # Before the text: 78 B to the body, 4 of the length, 102 of the content. "1" becomes "9".
    FalseMailbox.of(bob, changing(flipping(78 + 4 + 102 + 4, 0x08)))
    await alice.says(bob, "pay 100")
    await bob.listens()
    stage.tells(bob, "unopened")


@attack(NOTHING_UNOPENED)
async def changes_a_set_up(stage: Stage) -> None:
    """changes one bit of a first message"""
    alice, bob = await stage.people("alice", "bob")
    FalseMailbox.of(bob, changing(flipping(2_000, 1)))
    await alice.says(bob, "hello")
    await bob.listens()
    stage.tells(bob, "unopened")


@attack(NOTHING_UNOPENED)
async def cuts_a_message_short(stage: Stage) -> None:
    """cuts a message to half its size"""
    alice, bob = await acquainted(stage)
    FalseMailbox.of(bob, changing(lambda ciphertext: ciphertext[: len(ciphertext) // 2]))
    await alice.says(bob, "x" * 900)
    await bob.listens()
    stage.tells(bob, "unopened")


async def _carol_gets_bobs(stage: Stage, alice: Person, bob: Person, carol: Person) -> None:
    at_bob = FalseMailbox.of(bob, lambda envelopes: ())
    await alice.says(bob, "for bob alone")
    await bob.listens()
    await alice.says(carol, "for carol")
    FalseMailbox.of(carol, lambda envelopes: [*at_bob.kept, *envelopes])
    await carol.listens()
    stage.holds("for bob alone" not in carol.texts(), "carol does not read it")
    stage.tells(carol, "unopened")


@attack(NOTHING_UNOPENED)
async def redirects_a_set_up(stage: Stage) -> None:
    """delivers a first message to another account"""
    await _carol_gets_bobs(stage, *await stage.people("alice", "bob", "carol"))


@attack(NOTHING_UNOPENED)
async def redirects_a_message(stage: Stage) -> None:
    """delivers a message to another account, which talks with the same person"""
    alice, bob = await acquainted(stage)
    (carol,) = await stage.people("carol")
    await alice.says(carol, "hello")
    await carol.listens()
    await carol.says(alice, "hello to you")
    await alice.listens()
    await _carol_gets_bobs(stage, alice, bob, carol)
