"""What the relay delivered too often without an acknowledgement: it skips that, so a client that died each time fetches it.

docs/protocol.md, "What a client keeps and when it commits".
"""

from collections.abc import AsyncIterator

from relay.wire.frames import Deliver, EnvelopeClass
from relay.wire.resources import QuarantineAnswer

from .transport import Transport


async def quarantined(transport: Transport) -> AsyncIterator[Deliver]:
    """Each, in the order of the mailbox; what was acknowledged by name meanwhile is not among them.

    Raises Refused, RelayUnreachable, RelayMisbehaved.
    """
    after = 0
    while True:
        answered = await transport.ask("GET", f"/v1/mailbox/quarantine?after={after}", signed=True)
        envelopes = answered.read(QuarantineAnswer).envelopes
        if not envelopes or envelopes[-1].sequence <= after:
            return
        for one in envelopes:
            yield Deliver(
                one.sequence, one.envelope_id, one.received_at_ms, EnvelopeClass.DURABLE, one.ciphertext
            )
        after = envelopes[-1].sequence
