"""What the client in JavaScript knows of the one group that it is in, waited for."""

import asyncio

from tests.group_people_online import until
from tests.interop.javascript_person import JavaScriptPerson

PATIENCE = 40


async def of_group(jay: JavaScriptPerson) -> list[str]:
    return [one["text"] for one in await jay.call("messages", after=0) if one["group"] and not one["is_own"]]


async def heard(jay: JavaScriptPerson, text: str) -> None:
    async def is_there() -> bool:
        return text in await of_group(jay)

    await jay.until(is_there)


async def done(task: asyncio.Task) -> bool:
    """For `until`: what was asked of the client in JavaScript, whose commands come one after the other, is answered."""
    return task.done()


async def joined(jay: JavaScriptPerson, client, members: int) -> None:
    async def is_in() -> bool:
        return [(one["status"], one["members"]) for one in await jay.call("groups")] == [("in", members)]

    async def listens(_client) -> bool:
        return await is_in()

    await until(client, listens)
