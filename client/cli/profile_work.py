"""What `tokenim profile …` does with the library. Lets every ClientError pass."""

from client.errors import UsageError
from client.profiles import ShownProfile

from .output import Output, one_line, printable
from .place import Place
from .work import open_client


def _plain(profile: ShownProfile) -> str:
    about = f"\n{printable(profile.about)}" if profile.about else ""
    return f"{one_line(profile.name)} ({profile.account}){about}"


async def set_own(place: Place, out: Output, name: str, about: str) -> None:
    """Make it the own profile."""
    async with open_client(place) as client:
        profile = await client.profiles.set(name, about)
    out.shown(profile, _plain(profile))


async def show(place: Place, out: Output, who: str | None) -> None:
    """Show one."""
    async with open_client(place) as client:
        profile = await client.profile(who)
    if profile is None:
        raise UsageError("this account has no profile: `tokenim profile set NAME` makes one")
    out.shown(profile, _plain(profile))
