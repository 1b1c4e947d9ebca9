"""Notices that others can bring about: of prekeys, manifests and devices. Those of logs and mailboxes are beside their cases."""

from client.conformance.device import KEM, ONE_TIME, Device
from client.conformance.relay import Relay
from client.conformance.report import Failed
from client.conformance.socket import resumed
from client.conformance.wire import CAUGHT_UP, to_base64

from .suite import SUITE

_PREKEYS_LOW, _MANIFEST_CHANGED, _DEVICE_REVOKED = 1, 2, 3


async def _take_one(relay: Relay, of: Device) -> None:
    asker = await relay.member()
    path = f"/v1/accounts/{of.account}/bundles"
    (await asker.ask("POST", path, {"token": to_base64(of.token)})).must(200)


@SUITE.case("notice-prekeys-low")
async def prekeys_low(relay: Relay) -> None:
    """A device hears of each one-time kind of which prekeys_low are left, and of which none is; not before."""
    low = relay.document["limits"]["prekeys_low"]
    for stock, left in ((low + 2, low), (1, 0)):
        ann = await relay.member()
        await ann.stock(stock)
        async with resumed(ann) as socket:
            await socket.expect(CAUGHT_UP)
            for _ in range(stock - left - 1):
                await _take_one(relay, ann)
            await socket.quiet(0.3)
            if any(frame[1] == _PREKEYS_LOW for frame in socket.notices):
                raise Failed(f"expected no prekeys_low while more than {left} are left")
            await _take_one(relay, ann)
            for kind in (KEM, ONE_TIME):
                await socket.notice(_PREKEYS_LOW, [kind, left])


@SUITE.case("notice-manifest-changed")
async def manifest_changed(relay: Relay) -> None:
    """A device that is connected hears the version of a new manifest of its account, whoever brought it."""
    ann = await relay.member()
    other = ann.beside()
    await ann.advance(ann.entry(), other.entry(flags=0))
    async with resumed(other) as socket:
        await socket.expect(CAUGHT_UP)
        wanted = ann.manifest(ann.entry(), other.entry(flags=0))
        answer = await ann.say("POST", f"/v1/accounts/{ann.account}/manifests", {"manifest": wanted})
        answer.must(200)
        if (told := await socket.notice(_MANIFEST_CHANGED)) != [3]:
            raise Failed(f"expected manifest_changed with version 3, got {told}")


@SUITE.case("notice-device-revoked")
async def device_revoked(relay: Relay) -> None:
    """A device that is taken out of its account's manifest is told so, by its id, before its connection is closed."""
    ann = await relay.member()
    other = ann.beside()
    await ann.advance(ann.entry(), other.entry(flags=0))
    async with resumed(other) as socket:
        await socket.expect(CAUGHT_UP)
        await ann.advance(ann.entry())
        await socket.closed(4004, within=1.5)
        told = [frame[2] for frame in socket.notices if frame[1] == _DEVICE_REVOKED]
        if told != [[other.device_id]]:
            raise Failed(f"expected device_revoked with its id before the end, got {told}")
