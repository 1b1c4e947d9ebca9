"""Chapters Groups and Sealed logs, as a client does them: the level groups."""

import asyncio
from dataclasses import dataclass

from client.conformance.client_suite.group_doors import Entry
from client.conformance.client_suite.person import Person
from client.conformance.client_suite.setting import Setting
from client.conformance.client_suite.suite import CLIENT_SUITE
from client.conformance.report import Failed


@dataclass(frozen=True)
class _Group:
    setting: Setting
    name: str
    """As `send` takes it."""
    group: str
    ann: Person
    bob: Person
    carol: Person

    @property
    def log(self) -> list[Entry]:
        """The only one at the relay."""
        (log,) = self.setting.doors.groups.logs.values()
        return log


async def _group(setting: Setting) -> _Group:
    """Ann's group with Bob and Carol, whom she wrote with before."""
    ann, bob, carol = await asyncio.gather(*map(setting.person, ("ann", "bob", "carol")))
    for other in (bob, carol):
        await ann.call("send", to=other.name, text=f"hello, {other.name}")
        await other.until(f"hello, {other.name}")
        await other.call("send", to="ann", text=f"{other.name} here")
    await ann.shows("bob here", "carol here")
    group = await ann.ask("create_group", name="friends")
    for other in (bob, carol):
        await ann.call("add", group=group, who=other.name)
        await setting.acked(other)
        await other.call("accept", group=group)
    return _Group(setting, f"group:{group}", group, ann, bob, carol)


@CLIENT_SUITE.case("client-group-talks", level="groups", proves=("M-LOG-06",))
async def group_talks(setting: Setting) -> None:
    """Three in a group hear each other; its log is asked for without a name, and its entries have the sizes of buckets."""
    group = await _group(setting)
    people = (group.ann, group.bob, group.carol)
    for person in people:
        await person.call("send", to=group.name, text=f"{person.name} to all")
    for person in people:
        await person.shows(*(f"{other.name} to all" for other in people if other is not person))
    if len(group.log) < 3:
        raise Failed(f"expected entries for the group and for each who came in, got {len(group.log)}")


@CLIENT_SUITE.case("client-group-removal", level="groups")
async def group_removal(setting: Setting) -> None:
    """Who is taken out reads the log no more, can add nothing to it, and gets no message: key and token change with the entry."""
    group = await _group(setting)
    before = group.log[-1]
    await group.ann.call("remove", group=group.group, who="bob")
    after, submits = group.log[-1], len(setting.house.submits)  # what was on its way before goes to him still
    if after is before:
        raise Failed("expected an entry in the group's log for the removal")
    if before.write_key == after.write_key or before.token_hash == after.token_hash:
        raise Failed("expected another write key and another read token from the removal on")
    await group.ann.call("send", to=group.name, text="the two of us")
    await group.carol.shows("the two of us")
    devices = {setting.account(one).device.device_id for one in (group.bob, group.carol)}
    for one in setting.house.submits[submits:]:
        if devices <= {target[0] for target in one.fields[6]}:
            raise Failed(
                "expected no envelope to all from the removal on that goes to who was taken out, too"
            )
    await setting.acked(group.bob)
    if "the two of us" in await group.bob.texts():
        raise Failed("who was taken out shows what was said behind the removal")
