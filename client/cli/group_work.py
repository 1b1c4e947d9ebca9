"""What each `tokenim group …` does with the library. Prints through `Output`; lets every ClientError pass."""

import sys
from contextlib import suppress
from typing import Final

from client.client import Client
from client.errors import RelayUnreachable
from client.message_groups import GroupInfo

from .output import Output, one_line
from .place import Place
from .work import open_client

_STANDS: Final = {
    "waiting": "this device waits to be let in again",
    "lost": "nobody there can let you in again",
}


def _told(group: GroupInfo) -> str:
    """One line of a list."""
    mine = next((member.role for member in group.members if member.me), "not in it")
    about = [
        mine,
        *([_STANDS.get(group.status, group.status)] if group.status != "member" else []),
        *(["broadcast"] if group.broadcast else []),
    ]
    return f"{group.id}  {len(group.members):>5} members  {', '.join(about):<20}  {one_line(group.name)}"


async def create(place: Place, out: Output, name: str, *, broadcast: bool) -> None:
    """Make a group."""
    async with open_client(place) as client:
        group = await client.create_group(name, broadcast=broadcast)
        out.shown(group, group.id)


async def list_groups(place: Place, out: Output) -> None:
    """One line a group, then the open invitations."""
    async with open_client(place) as client:
        for group in await client.groups(with_left=True):
            out.shown(group, _told(group))
        for invited in await client.membership.invitations():
            who, name = one_line(invited.inviter_name), one_line(invited.name)
            out.shown(invited, f"{invited.group}  invited by {who}: {name}")


async def show(place: Place, out: Output, group_id: str) -> None:
    """A group with all that is in it."""
    async with open_client(place) as client:
        group = await client.membership.show(group_id)
        waiting = await client.membership.waiting(group_id)
        lines = [f"{one_line(group.name) or '(no name)'}  {group.id}"]
        if group.about:
            lines.append(one_line(group.about))
        lines.append(f"epoch {group.epoch}, {group.status}{', broadcast' if group.broadcast else ''}")
        lines += [
            f"  {member.role:<9}  {one_line(member.name)}  ({', '.join(member.rights)})"
            for member in group.members
        ]
        lines += [f"  waits      {one_line(one.name)}" for one in waiting]
        lines += [f"  banned     {account}" for account in group.banned]
        shown = group.as_json()
        shown["waiting"] = [{"account": one.account, "name": one.name} for one in waiting]
        out.result("\n".join(lines), shown)


async def invite(
    place: Place, out: Output, group_id: str, *, uses: int, days: int, role: str, ask: bool
) -> None:
    """Print a link."""
    async with open_client(place) as client:
        link = await client.membership.link(group_id, uses=uses, days=days, role=role, ask=ask)
        out.result(link, {"type": "group_link", "link": link, "uses": uses, "days": days, "role": role})


async def revoke_links(place: Place, out: Output, group_id: str) -> None:
    """Close all links of this device."""
    async with open_client(place) as client:
        count = await client.membership.close_links(group_id)
        out.result(f"{count} closed", {"type": "group_links_closed", "count": count})


async def join(place: Place, out: Output, link_or_group: str, wait_seconds: float) -> None:
    """Ask to be let in."""
    text = sys.stdin.readline().strip() if link_or_group == "-" else link_or_group
    async with open_client(place) as client:
        group = await client.membership.join(text, wait_seconds=wait_seconds)
        if group is None:
            out.result(
                "asked: you are in once somebody has let you in. Nobody answers a link that is used up, closed or too old:"
                " ask for another one if nothing happens",
                {"type": "group_asked"},
            )
        else:
            out.shown(group, _told(group))


async def leave(place: Place, out: Output, group_id: str) -> None:
    """Leave a group."""
    async with open_client(place) as client:
        await client.membership.leave(group_id)
        out.result("left", {"type": "group_left"})


async def add(place: Place, out: Output, group_id: str, who: str, role: str) -> None:
    """Invite somebody, or let in who waits."""
    async with open_client(place) as client:
        let_in = await client.membership.add(group_id, who, role=role)
        word = "let in" if let_in else "invited"
        out.result(word, {"type": "group_let_in" if let_in else "group_invited", "who": who})
        await _spread(client)


async def _changed(client: Client, out: Output, group: GroupInfo) -> None:
    out.shown(group, _told(group))
    await _spread(client)


async def _spread(client: Client) -> None:
    """Members hear of a change before the command ends; what does not go out within a moment goes with the next `listen`."""
    with suppress(RelayUnreachable):
        await client.settle()


async def remove(place: Place, out: Output, group_id: str, who: str) -> None:
    """Take somebody out."""
    async with open_client(place) as client:
        await _changed(client, out, await client.membership.remove(group_id, who))


async def ban(place: Place, out: Output, group_id: str, who: str, *, lift: bool) -> None:
    """Ban, or lift a ban."""
    async with open_client(place) as client:
        await _changed(
            client,
            out,
            await (client.membership.unban(group_id, who) if lift else client.membership.ban(group_id, who)),
        )


async def mute(place: Place, out: Output, group_id: str, who: str, *, lift: bool) -> None:
    """Mute, or let write again."""
    async with open_client(place) as client:
        await _changed(
            client,
            out,
            await (
                client.membership.unmute(group_id, who) if lift else client.membership.mute(group_id, who)
            ),
        )


async def promote(place: Place, out: Output, group_id: str, who: str, role: str) -> None:
    """Give another role."""
    async with open_client(place) as client:
        await _changed(client, out, await client.membership.promote(group_id, who, role))


async def set_setting(place: Place, out: Output, group_id: str, setting: str, value: str) -> None:
    """Change a setting."""
    async with open_client(place) as client:
        await _changed(client, out, await client.membership.set(group_id, setting, value))
