"""Chapters Reach, Delivery and Prekeys: what is full, and what is used up."""

import asyncio
import os

from client.conformance.device import LAST_RESORT, ONCE, Device
from client.conformance.relay import Relay
from client.conformance.report import Failed, NotClaimed
from client.conformance.socket import PATIENCE_SECONDS, Socket, resumed
from client.conformance.wire import (
    ACCEPTED,
    ACK,
    BUDGET_SPENT,
    CAUGHT_UP,
    DELIVER,
    MAILBOX_FULL,
    STORED,
)

from .delivery import envelope, outcome
from .prekeys import bundle_of, class_and_id
from .suite import SUITE
from .writing import writing

_LARGEST = 262_144
_MOST_ENVELOPES = 512
"""For a larger mailbox a case is not claimed: it would be filled for minutes."""
_SMALL = 64
_NEARLY_FULL, _FULL = 4, 5
_FILLED_WITHIN = 60.0


def _fits(relay: Relay) -> int:
    """So many of the largest envelopes fill a mailbox; raises NotClaimed for too many."""
    limits = relay.document["limits"]
    fits = min(limits["mailbox_envelopes"], limits["mailbox_bytes"] // _LARGEST)
    if fits > _MOST_ENVELOPES:
        raise NotClaimed("its mailboxes are too large to fill one in a case")
    return int(fits)


async def _fill(writer: Socket, ann: Device, count: int) -> None:
    """So many of the largest envelopes are stored; a few are under way at once."""
    ciphertext = os.urandom(_LARGEST)
    for number in range(1, count + 4):
        if number <= count:
            await writer.send(envelope(ann, ciphertext, request=number))
        if number > 3:
            await outcome(writer, STORED, number - 3)


@SUITE.case("delivery-mailbox-full")
async def full(relay: Relay) -> None:
    """A mailbox takes what its limits say and no more; an ack makes room, and what was refused is taken under its id."""
    ann, ben, fits = await relay.member(), await relay.member(), _fits(relay)
    refused = envelope(ann, os.urandom(_LARGEST), request=1_001)
    async with writing(relay) as writer:
        await _fill(writer, ann, fits)
        await writer.send(refused)
        await outcome(writer, MAILBOX_FULL, 1_001)
        await writer.send(envelope(ben, request=1_002))
        await outcome(writer, STORED, 1_002)
        async with resumed(ann) as reader:
            sequence = (await reader.expect(DELIVER))[0]
            await reader.send([ACK, sequence])
            for number in range(2, fits + 1):  # what is under way is read, or it would not hear of the ack
                if (await reader.expect(DELIVER))[0] != number:
                    raise Failed(f"expected sequence {number} of a mailbox that is full")
                await reader.send([ACK, number])
            await reader.expect(CAUGHT_UP)
        await writer.send(refused)
        await outcome(writer, STORED, 1_001)


@SUITE.case("notice-mailbox-filling")
async def filling(relay: Relay) -> None:
    """A device hears that its mailbox is nearly full when it gets to be, and that an envelope was refused since it is full."""
    ann, limits, fits = await relay.member(), relay.document["limits"], _fits(relay)
    nearly = -(-fits * limits["mailbox_nearly_full_percent"] // 100)
    async with writing(relay) as writer, resumed(ann) as reader:
        await reader.expect(CAUGHT_UP)
        for kind, count, within in ((_NEARLY_FULL, fits, _FILLED_WITHIN), (_FULL, 0, PATIENCE_SECONDS)):
            told = asyncio.create_task(reader.notice(kind, within=within))
            try:
                await _fill(writer, ann, count)
                if not count:
                    await writer.send(envelope(ann, os.urandom(_LARGEST)))
                    await outcome(writer, MAILBOX_FULL)
                data = await told
            finally:
                told.cancel()
                await asyncio.gather(told, return_exceptions=True)
            wanted = nearly if kind == _NEARLY_FULL else fits
            if data != [wanted, wanted * _LARGEST]:
                raise Failed(f"notice {kind}: expected {wanted} envelopes and their bytes, got {data}")


@SUITE.case("delivery-budget-of-strangers")
async def strangers(relay: Relay) -> None:
    """By all tokens of class link together come stranger_burst units, one a begun stranger_unit_bytes; contacts write on."""
    limits = relay.document["limits"]
    burst, unit = limits["stranger_burst"], limits["stranger_unit_bytes"]
    if burst > _MOST_ENVELOPES:
        raise NotClaimed("strangers may write too much to use it up in a case")
    ann = await relay.member()
    links = [await ann.add_token("link") for _ in range(2)]
    async with writing(relay) as writer:
        large = min(3, burst)
        await writer.send(envelope(ann, os.urandom((large - 1) * unit + 1), token=links[0]))
        await outcome(writer, STORED)
        for number in range(large, burst):
            await writer.send(envelope(ann, os.urandom(_SMALL), token=links[number % 2]))
            await outcome(writer, STORED)
        came = []
        for _ in range(2):  # a unit may have come back meanwhile, and no more
            await writer.send(envelope(ann, os.urandom(_SMALL), token=links[1]))
            came.append((await writer.expect(ACCEPTED))[1])
        if [BUDGET_SPENT] not in came:
            raise Failed(f"after {burst} units by tokens of class link: expected budget_spent, got {came}")
        await writer.send(envelope(ann, os.urandom(_SMALL)))
        await outcome(writer, STORED)


@SUITE.case("prekeys-budget-of-a-target")
async def target(relay: Relay) -> None:
    """All askers together get prekey_target_burst one-time keys of a device, then last-resort ones; of others they get theirs."""
    limits = relay.document["limits"]
    burst, each = limits["prekey_target_burst"], limits["prekey_budget_burst"]
    if burst + 4 > limits["one_time_prekeys"] or each < 2:
        raise NotClaimed("a device has no more one-time keys than that")
    ann, ben = await relay.member(), await relay.member()
    await ann.stock(burst + 4)
    await ben.stock(1)
    classes, asker = [], ann
    for number in range(burst + 3):  # a unit or two may have come back meanwhile
        if number % (each - 1) == 0:
            asker = await relay.member()
        classes.append(class_and_id((await bundle_of(asker, ann))["kem_prekey"])[0])
    if classes[:burst] != [ONCE] * burst or LAST_RESORT not in classes:
        raise Failed(f"expected {burst} one-time keys for all, then last-resort ones, got classes {classes}")
    if class_and_id((await bundle_of(asker, ben))["kem_prekey"])[0] != ONCE:
        raise Failed("expected a one-time key of another device for the same asker")
