"""What `tokenim invite …` does with the library. Lets every ClientError pass."""

from client.own_invites import OwnInvite
from client.times import iso_time

from .output import Output
from .place import Place
from .work import open_client


def _plain(invite: OwnInvite) -> str:
    stay = "" if invite.stay_seconds is None else f"  they stay {invite.stay_seconds // 86_400} days"
    return f"{invite.name}  {invite.role:<6}  {invite.uses_left} left  until {iso_time(invite.expires_at_ms)}{stay}"


async def create(
    place: Place, out: Output, *, guests: bool, uses: int, days: int, stay_days: int | None
) -> None:
    """Make one."""
    async with open_client(place) as client:
        made = await client.invites.create(guests=guests, uses=uses, days=days, stay_days=stay_days)
    out.shown(made, str(made.link))


async def show(place: Place, out: Output) -> None:
    """Those that are open."""
    async with open_client(place) as client:
        invites = await client.invites.list()
    for invite in invites:
        out.shown(invite, _plain(invite))


async def revoke(place: Place, out: Output, name: str) -> None:
    """Close one."""
    async with open_client(place) as client:
        await client.invites.revoke(name)
    out.result(f"revoked {name}", {"type": "invite_revoked", "name": name})
