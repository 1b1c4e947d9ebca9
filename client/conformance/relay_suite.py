"""All cases for a relay, and a run of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import aiohttp

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
        claimed = frozenset(levels) if levels else _claims(relay)
        chosen = [SUITE.cases[name] for name in only] if only else list(SUITE.cases.values())
        results = []
        async for result in run(chosen, relay, claimed):
            tell(result)
            results.append(result)
    return results


def _claims(relay: Relay) -> frozenset[str]:
    """Core, groups and media are for every relay; push where its document offers a kind, operator where a link was given."""
    claimed = {"core", "groups", "media"} | ({"operator"} if relay.admin else set())
    try:
        return frozenset(claimed | ({"push"} if relay.document["push"]["kinds"] else set()))
    except (Failed, LookupError, TypeError):
        return frozenset(claimed)  # what is wrong with the document, the case of the document says
