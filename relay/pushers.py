"""The push services that the settings switch on: opened for a relay, and for `doctor`, which asks them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

from relay.adapters.push.apns import Apns, ApnsAccount
from relay.adapters.push.fcm import Fcm, FcmAccount
from relay.adapters.push.outward import Outward
from relay.adapters.push.web_push import WebPush, public_bytes, vapid_key
from relay.adapters.push.webhook import Webhook
from relay.config import PushSettings
from relay.ports.clock import Clock, Randomness
from relay.ports.pusher import Pusher, PushServices
from relay.session.proof import RelayKey
from relay.wire.push_resources import PushKind


@asynccontextmanager
async def open_pushers(
    settings: PushSettings, *, seed: bytes, origin: str, clock: Clock, randomness: Randomness
) -> AsyncIterator[PushServices]:
    """The push services that the settings switch on, closed at the end. `seed`: of the relay's signing key.

    Raises PushKeyUnusable.
    """
    pushers: list[Pusher] = []
    async with AsyncExitStack() as stack:
        outward = Outward(clock, settings.allow_hosts)
        stack.push_async_callback(outward.close)
        key = vapid_key(seed)
        switches: dict[PushKind, bool] = {"web": settings.web, "unifiedpush": settings.unifiedpush}
        kinds = [kind for kind, is_on in switches.items() if is_on]
        pushers += [
            WebPush(kind, outward, key, contact=settings.contact, clock=clock, randomness=randomness)
            for kind in kinds
        ]
        if settings.webhook:
            pushers.append(Webhook(outward, RelayKey(seed).sign, origin, clock))
        pushers += _of_phones(settings, clock)
        for pusher in pushers:
            stack.push_async_callback(pusher.close)
        yield PushServices(tuple(pushers), public_bytes(key) if kinds else b"")


def _of_phones(settings: PushSettings, clock: Clock) -> Iterator[Pusher]:
    apns, fcm = settings.apns, settings.fcm
    if apns.key_file is not None:
        account = ApnsAccount(
            key_file=apns.key_file.expanduser().absolute(),
            key_id=apns.key_id or "",  # settings without it are refused
            team_id=apns.team_id or "",
            topic=apns.topic or "",
            url=apns.url,
            push_type=apns.push_type,
        )
        yield Apns(account, clock=clock)
    if fcm.account_file is not None:
        file = fcm.account_file.expanduser().absolute()
        yield Fcm(FcmAccount(file, fcm.url, fcm.token_url), clock=clock)
