"""The own mailbox over HTTP: long poll, acknowledgement, quarantine."""

from aiohttp import web

from relay.ports.mailboxes import MailboxItem, StoredEnvelope
from relay.services.roles import Operation
from relay.wire import limits
from relay.wire.frames import EnvelopeClass
from relay.wire.resources import AckRequest, EnvelopeObject, MailboxAnswer, MissedObject, QuarantineAnswer

from .call import Call, answer, nothing


def _envelope(envelope: StoredEnvelope) -> EnvelopeObject:
    return EnvelopeObject(
        sequence=envelope.sequence,
        envelope_id=envelope.envelope_id,
        received_at_ms=envelope.received_at_ms,
        envelope_class=EnvelopeClass.DURABLE,
        ciphertext=envelope.ciphertext,
    )


def _missed(items: tuple[MailboxItem, ...]) -> list[MissedObject]:
    return [
        MissedObject(from_sequence=item.from_sequence, to_sequence=item.to_sequence, reason=item.reason)
        for item in items
        if not isinstance(item, StoredEnvelope)
    ]


async def poll(call: Call) -> web.StreamResponse:
    """GET /v1/mailbox?after=&wait_seconds=."""
    call.require(Operation.READ_MAILBOX)
    polled = await call.services.long_poll.poll(
        call.signer.device_id,
        after=call.query_int("after", 0, most=limits.MAX_SEQUENCE),
        wait_seconds=call.query_int("wait_seconds", 0, most=limits.MAX_LONG_POLL_SECONDS),
    )
    return answer(
        MailboxAnswer(
            envelopes=[_envelope(item) for item in polled.items if isinstance(item, StoredEnvelope)],
            missed=_missed(polled.items),
            next_sequence=polled.next_sequence,
            more=polled.more,
        )
    )


async def acknowledge(call: Call) -> web.StreamResponse:
    """POST /v1/mailbox/ack. Durable when it is answered."""
    call.require(Operation.READ_MAILBOX)
    asked = call.read(AckRequest)
    await call.services.store.mailboxes.ack(call.signer.device_id, up_to=asked.up_to, also=asked.also)
    return nothing()


async def quarantine(call: Call) -> web.StreamResponse:
    """GET /v1/mailbox/quarantine?after=: the quarantined envelopes, as many as fit into one answer."""
    call.require(Operation.READ_MAILBOX)
    device_id = call.signer.device_id
    after = call.query_int("after", 0, most=limits.MAX_SEQUENCE)
    mailboxes = call.services.store.mailboxes
    envelopes: list[EnvelopeObject] = []
    size = 0
    for kept in await mailboxes.quarantined(device_id):
        if kept.sequence <= after:
            continue
        size += kept.bytes
        if envelopes and size > limits.MAX_UNREAD_BYTES:
            break
        envelopes.append(_envelope(await mailboxes.fetch_quarantined(device_id, kept.sequence)))
    return answer(QuarantineAnswer(envelopes=envelopes))
