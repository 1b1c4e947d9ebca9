"""What `tokenim contact` does with the library. Prints through `Output`; lets every ClientError pass."""

from client.contacts import Contact, Standing

from .output import Output, one_line
from .place import Place
from .work import open_client


def _plain(contact: Contact) -> str:
    dropped = f", {contact.dropped} messages dropped" if contact.dropped else ""
    return f"{contact.standing.value:10}{contact.account}  {one_line(contact.name)}{dropped}"


async def list_all(place: Place, out: Output) -> None:
    """Print everybody, requests first."""
    order = [Standing.REQUEST, Standing.ACCEPTED, Standing.BLOCKED]
    async with open_client(place) as client:
        for contact in sorted(await client.contacts(), key=lambda one: order.index(one.standing)):
            out.shown(contact, _plain(contact))


async def accept(place: Place, out: Output, who: str, patience_seconds: float) -> None:
    """Accept, and tell them."""
    async with open_client(place) as client:
        contact = await client.accept(who, patience_seconds=patience_seconds)
        out.shown(contact, _plain(contact))


async def block(place: Place, out: Output, who: str, patience_seconds: float, *, new_links: bool) -> None:
    """Block, and tell the others."""
    async with open_client(place) as client:
        contact = await client.block(who, new_links=new_links, patience_seconds=patience_seconds)
        out.shown(contact, _plain(contact))


async def unblock(place: Place, out: Output, who: str) -> None:
    """Unblock."""
    async with open_client(place) as client:
        contact = await client.unblock(who)
        out.shown(contact, _plain(contact))
