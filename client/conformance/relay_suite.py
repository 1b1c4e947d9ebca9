"""All cases for a relay, and a run of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import aiohttp

from .case import RELAY_LEVELS
from .cases import SUITE
from .relay import Invite, Relay, open_relay
from .report import Failed, Result
from .runner import run


async def run_relay(
    invite: Invite,
    tell: Callable[[Result], None],
    *,
    admin: str = "",
    admin_invite: Invite | None = None,
    web_origin: str = "",
    levels: Sequence[str] = (),
    only: Sequence[str] = (),
) -> list[Result]:
    """The results. Without `levels`: all that the relay claims.

    Raises Failed if there is no relay to try, NotReady if it lets no run come to its end.
    """
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=70)) as session:
        try:
            opened = await open_relay(session, invite, admin, admin_invite)
        except (aiohttp.ClientError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            raise Failed(f"the relay at {invite.origin} is not reached: {why}") from error
        relay = replace(opened, web_origin=web_origin)
        unclaimed = _unclaimed(relay, levels)
        chosen = [SUITE.cases[name] for name in only] if only else list(SUITE.cases.values())
        results = []
        async for result in run(chosen, relay, unclaimed):
            tell(result)
            results.append(result)
    return results


def _unclaimed(relay: Relay, levels: Sequence[str]) -> dict[str, str]:
    """Which levels are not tried, and why. Core, groups and media are for every relay."""
    unclaimed = {level: "--level chose others" for level in RELAY_LEVELS if levels and level not in levels}
    if not relay.admin:
        unclaimed.setdefault("operator", "it needs --admin: the listener of the relay's operators")
    try:
        offered = bool(relay.document["push"]["kinds"])
        why = "its document offers no kinds of wakeups (of our relay: push.webhook, and others under push)"
    except (Failed, LookupError, TypeError):
        # What is wrong with the document, the case of the document says.
        offered, why = False, "its document does not say which kinds of wakeups it offers"
    if not offered:
        unclaimed.setdefault("push", why)
    return unclaimed
