"""A relay that lies in what it answers: what became of a message, what time it is, what it is, what should be looked at."""

import os
from collections.abc import Callable, Iterable, Sequence

import msgspec

from client import Message
from client.errors import RelayUnreachable
from client.submitter import Submitter
from client.transport import Transport
from crypto.keys import SigningKeyPair
from relay.wire.frames import (
    Accepted,
    CaughtUp,
    Challenge,
    ClientFrame,
    Deliver,
    Notice,
    NoticeKind,
    Outcome,
    Refused,
    RelayFrame,
    Submit,
)
from relay.wire.resources import RelayDocument
from tests.hostile.attacks import Guard, attack, forever, nothing
from tests.hostile.attacks_on_device_lists import says_there_is_a_newer_list
from tests.hostile.attacks_on_mail import acquainted, answering_submits
from tests.hostile.middleman import Exchange, Line
from tests.hostile.stage import Stage, hurried_machine

YEAR_3000_MS = 32_503_680_000_000

# What became of a message.


@attack(Guard("client.submitter.Submitter._expect_answers", forever))
async def drops_accepted(stage: Stage) -> None:
    """never says that a message is accepted"""
    alice, bob = await acquainted(stage)
    alice.system = hurried_machine()
    stage.relay.changes_frames(
        lambda line, frames: [frame for frame in frames if not isinstance(frame, Accepted)]
    )
    await stage.refuses(
        alice, alice.says(bob, "hello", patience_seconds=0.5), "unreachable", within_seconds=5
    )
    stage.relay.stops()
    await alice.flushes()
    await bob.listens()
    await stage.reads(bob, alice, "hello", after=("hello",))


def _lying(outcome: Outcome) -> Callable[[Submit], Iterable[RelayFrame]]:
    return lambda submit: [Accepted(submit.request_id, (outcome,) * len(submit.targets))]


SAYS_NOTHING_OF_FAILURES = Guard(
    "client.deliveries.Deliveries.failed", lambda self, numbers, error: self.accepted(numbers)
)


@attack(SAYS_NOTHING_OF_FAILURES)
async def says_that_the_mailbox_is_full(stage: Stage) -> None:
    """says that the recipient's mailbox is full"""
    alice, bob = await acquainted(stage)
    stage.relay.changes_submits(answering_submits(_lying(Outcome.MAILBOX_FULL)))
    await stage.refuses(alice, alice.says(bob, "hello"), "mailbox_full")


@attack(SAYS_NOTHING_OF_FAILURES)
async def says_that_a_token_is_not_good(stage: Stage) -> None:
    """says that the recipient does not want to hear"""
    alice, bob = await acquainted(stage)
    stage.relay.changes_submits(answering_submits(_lying(Outcome.NOT_ALLOWED)))
    await stage.refuses(alice, alice.says(bob, "hello"), "not_sent")


@attack(SAYS_NOTHING_OF_FAILURES)
async def says_that_a_device_is_unknown(stage: Stage) -> None:
    """says that the recipient has no such device"""
    alice, bob = await acquainted(stage)
    stage.relay.changes_submits(answering_submits(_lying(Outcome.UNKNOWN_DEVICE)))
    await stage.refuses(alice, alice.says(bob, "hello"), "not_sent")


_answer = Submitter._answer


def _takes_any_answer(self: Submitter, frame: RelayFrame) -> object:
    """As that to what was sent first."""
    if isinstance(frame, Accepted):
        frame = Accepted(next(iter(self._under_way)), frame.outcomes, frame.manifest_behind)
    return _answer(self, frame)


@attack(Guard("client.submitter.Submitter._answer", _takes_any_answer))
async def answers_what_was_not_asked(stage: Stage) -> None:
    """answers a submit that there never was"""
    alice, bob = await acquainted(stage)
    stage.relay.changes_submits(
        answering_submits(lambda submit: [Accepted(submit.request_id + 7, (Outcome.STORED,))])
    )
    sending = alice.says(bob, "hello", patience_seconds=0.5)
    await stage.refuses(alice, sending, "unreachable", within_seconds=5)


@attack(cannot="the same bytes again are the same message, and a list that is the known one changes nothing")
async def says_for_ever_that_a_list_is_behind(stage: Stage) -> None:
    """says after each message that the recipient has a newer device list"""
    alice, bob = await stage.people("alice", "bob")
    says_there_is_a_newer_list(stage, bob, 2**40)
    await alice.says(bob, "one")
    await alice.says(bob, "two")
    await bob.listens()
    await stage.reads(bob, alice, "one", "two")
    stage.nothing_told(alice, bob)


# What time it is.


@attack(cannot="the clock of the relay is nowhere taken for that of the machine")
async def lies_about_the_time(stage: Stage) -> None:
    """says in every place that it is the year 3000"""
    alice, bob = await stage.people("alice", "bob")

    def in_frames(line: Line, frames: Sequence[RelayFrame]) -> Iterable[RelayFrame]:
        for frame in frames:
            match frame:
                case Challenge(challenge):
                    yield Challenge(challenge, YEAR_3000_MS)
                case Deliver(sequence, envelope_id, _, envelope_class, ciphertext):
                    yield Deliver(sequence, envelope_id, YEAR_3000_MS, envelope_class, ciphertext)
                case _:
                    yield frame

    def in_answers(exchange: Exchange) -> None:
        exchange.headers["Date"] = "Wed, 01 Jan 3000 00:00:00 GMT"

    stage.relay.changes_frames(in_frames)
    stage.relay.changes_answers("*", "*", in_answers)
    began_ms = alice.system.now_ms()
    await alice.says(bob, "one")
    await alice.says(bob, "two")
    await bob.listens()
    await bob.says(alice, "three")
    await alice.listens()
    sent = [event.sent_at_ms for event in (*bob.heard, *alice.heard) if isinstance(event, Message)]
    stage.holds(
        len(sent) == 3 and all(began_ms <= ms <= bob.system.now_ms() for ms in sent),
        "each message shows the time at which it was written",
    )
    await stage.reads(bob, alice, "one", "two")
    stage.nothing_told(alice, bob)


@attack(SAYS_NOTHING_OF_FAILURES)
async def refuses_over_the_time(stage: Stage) -> None:
    """refuses every signed request, and says that it is the year 3000"""
    alice, bob = await stage.people("alice", "bob")

    def refuse(exchange: Exchange) -> None:
        if exchange.signed:
            exchange.refuse(401, "unauthenticated")
            exchange.headers["Date"] = "Wed, 01 Jan 3000 00:00:00 GMT"

    stage.relay.changes_answers("*", "*", refuse)
    await stage.refuses(alice, alice.says(bob, "one"), "unauthenticated")
    stage.relay.stops()
    await alice.says(bob, "two")
    await bob.listens()
    sent = [event.sent_at_ms for event in bob.heard if isinstance(event, Message)]
    stage.holds(len(sent) == 2 and max(sent) <= bob.system.now_ms(), "no message says the year 3000")


# What it is itself.


async def _reads_only(transport: Transport, pinned_key: bytes) -> RelayDocument:
    """Whatever the relay says of itself is believed."""
    return (await transport.ask("GET", "/.well-known/tokenim")).read(RelayDocument)


@attack(Guard("client.transport.Transport.relay_document", _reads_only))
async def changes_its_document(stage: Stage) -> None:
    """names other limits than those that it signed"""

    def change(exchange: Exchange) -> None:
        exchange.json = {**exchange.json, "limits": {"max_envelope_bytes": 1}}

    stage.relay.changes_answers("GET", "/.well-known/tokenim", change)
    bob = stage.stranger("bob")
    await stage.refuses(bob, bob.register(), "relay_key_changed")


@attack(Guard("client.transport.Transport.relay_document", _reads_only))
async def is_another_relay(stage: Stage) -> None:
    """is another relay than the one that made the invite, with a document that it signed itself"""
    stage.signs_its_document(SigningKeyPair.generate(os.urandom))
    bob = stage.stranger("bob")
    await stage.refuses(bob, bob.register(), "relay_key_changed")


@attack(Guard("client.relay_terms.notices.tell", nothing))
async def wants_to_know_who_sends(stage: Stage) -> None:
    """takes no anonymous messages any more, so that it sees who sends"""
    alice, bob = await acquainted(stage)

    def answer(line: Line, frames: Sequence[ClientFrame]) -> Iterable[ClientFrame]:
        for frame in frames:
            if not isinstance(frame, Submit):
                yield frame
            elif line.device_id is None:
                line.tells_client(Refused(frame.request_id, "not_allowed", 0))
            else:
                line.tells_client(Accepted(frame.request_id, (Outcome.STORED,)))

    stage.signs_its_document(stage.relay_key, anonymous_submit=False)
    stage.relay.changes_submits(answer)
    await alice.says(bob, "hello")
    await alice.listens()
    stage.tells(alice, "senders_seen")


@attack(Guard("client.relay_terms.is_bearable", lambda bits: True))
async def asks_for_absurd_work(stage: Stage) -> None:
    """asks for a proof of work that takes hours, 32 bits, for a first message"""
    alice, bob = await stage.people("alice", "bob")
    async with bob.client() as client:
        link = await client.contact_link()
    limits = stage.relay.answer_to("GET", "/.well-known/tokenim").json["limits"]
    stage.signs_its_document(stage.relay_key, limits={**limits, "public_work_bits": 32})
    # What a client finds of itself is never enough: the true relay answers as this one would.
    stage.relay.changes_submits(
        lambda line, frames: [
            msgspec.structs.replace(frame, work=()) if isinstance(frame, Submit) else frame
            for frame in frames
        ]
    )
    await stage.refuses(alice, alice.says(bob, "hello"), "not_sent", within_seconds=15)
    await alice.says(link, "by your link")
    await bob.listens()
    stage.holds(bob.texts() == ["by your link"], "a contact link needs no work")


@attack(Guard("client.transport._MAX_ANSWER_BYTES", 1 << 40))
async def answers_without_an_end(stage: Stage) -> None:
    """answers with more bytes than any answer has"""
    alice, bob = await stage.people("alice", "bob")

    def lengthen(exchange: Exchange) -> None:
        exchange.body += b" " * 8_000_000

    stage.relay.changes_answers("GET", "/v1/accounts/*/manifests", lengthen)
    await stage.refuses(alice, alice.says(bob, "hello"), "relay_misbehaved")


@attack(Guard("client.inbox.ending", lambda code, retry_after_ms: RelayUnreachable("the relay is not there")))
async def says_that_it_does_not_know_the_device(stage: Stage) -> None:
    """says that it does not know the device any more"""
    (bob,) = await stage.people("bob")
    stage.relay.changes_frames(
        lambda line, frames: [
            Refused(0, "unauthenticated", 0) if isinstance(one, CaughtUp) else one for one in frames
        ]
    )
    await stage.refuses(bob, bob.listens(patience_seconds=0.5), "device_revoked")
    stage.relay.stops()
    await bob.listens()


# What should be looked at.


@attack(
    cannot="a notice makes the client look and changes nothing; it can ask for no more looks than it answers"
)
async def makes_up_notices(stage: Stage) -> None:
    """makes up, a hundred times, that keys run low, that it was restored, that devices and logs changed"""
    alice, bob = await acquainted(stage)
    made_up = [
        Notice(NoticeKind.PREKEYS_LOW, (2, 1)),
        Notice(NoticeKind.RESTORED),
        Notice(NoticeKind.DEVICE_REVOKED, (bob.device_id,)),
        Notice(NoticeKind.LOG_ADVANCED, (bytes(16), 2**40)),
        Notice(NoticeKind.MANIFEST_CHANGED, (2**40,)),
        Notice(NoticeKind.SHUTTING_DOWN),
    ]
    async with bob.online() as live:
        line = await stage.line_of(bob)
        await line.push(*made_up * 100)
        await alice.says(bob, "one")
        await live.hears("one")
    asked = sum(one.is_of("GET", "/v1/prekeys") for one in stage.relay.exchanges)
    stage.holds(asked < 250, "bob looks after his keys no more often than the relay answers him")
    await stage.reads(bob, alice, "one", after=("hello",))
    stage.nothing_told(bob)


@attack(Guard("client.inbox._NOTICE_SECONDS", 0.0))
async def floods_with_warnings(stage: Stage) -> None:
    """makes up, a thousand times, that the mailbox is full"""
    alice, bob = await acquainted(stage)
    async with bob.online() as live:
        line = await stage.line_of(bob)
        await line.push(*(Notice(NoticeKind.MAILBOX_FULL, (number, 1)) for number in range(1_000)))
        await live.is_told("mailbox_full", within_seconds=5)
        await alice.says(bob, "one")
        await live.hears("one")
    stage.tells(bob, "mailbox_full")
    stage.holds(len(bob.told()) == 1, "it is told once")


@attack(Guard("client.prekey_care.MAX_MADE_A_DAY", 1 << 30))
async def says_that_all_keys_are_used_up(stage: Stage) -> None:
    """says again and again that all one-time keys are used up"""
    (bob,) = await stage.people("bob")

    def empty(exchange: Exchange) -> None:
        answer = exchange.json
        for row in answer["stock"]:
            row["one_time_left"] = 0
        exchange.json = answer

    def take(exchange: Exchange) -> None:
        exchange.status = 200

    stage.relay.changes_answers("GET", "/v1/prekeys", empty)
    stage.relay.changes_answers("POST", "/v1/prekeys", take, also_refusals=True)
    async with bob.online() as live:
        line = await stage.line_of(bob)
        for _ in range(14):
            stage.relay.exchanges.clear()
            await line.push(Notice(NoticeKind.PREKEYS_LOW, (2, 0)))
            await stage.until(lambda: any(one.is_of("GET", "/v1/prekeys") for one in stage.relay.exchanges))
        await live.is_told("prekeys_drained", within_seconds=5)
    stage.tells(bob, "prekeys_drained")
