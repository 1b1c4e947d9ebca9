"""Devices of an account in groups that are lost, and come back from what a backup of them held; see `tests.group_town`."""

import os
from collections.abc import Sequence
from dataclasses import replace

from client.devices.revoking import change_own_tokens
from client.devices.shared_items import apply_items, everything
from client.store.group_tokens import known_own_token
from client.store.groups import Status, find_group
from client.store.shared import Item
from crypto.group_rights import Role
from crypto.group_state import Setting
from crypto.keys import LocalDevice
from tests.client_pair import with_device
from tests.group_town import Citizen, Town

DAY_MS = 86_400_000


async def backup_of(citizen: Citizen) -> list[Item]:
    return await citizen.do(lambda tx: everything(tx, citizen.person.system))


async def restore(
    town: Town, lost: Citizen, name: str = "restored", *, keep: bool = False, backup: Sequence[Item] = ()
) -> Citizen:
    """A new device of the account with what a backup of the lost one held; without `keep` it is alone in the list."""
    items = backup or await backup_of(lost)
    local = LocalDevice.generate(lost.id, os.urandom)
    other = replace(lost.person.account, local=local, root_seed=None)
    with_device(lost.person, other, keep_first=keep)
    again = await town.move_in(name, replace(lost.person.account, local=local, root_seed=None))

    def take(tx) -> None:
        apply_items(tx, items, town.clock.ms)
        if not keep:
            change_own_tokens(tx, again.person.system)

    await again.do(take)
    return again


async def named_group(town: Town, owner: Citizen, *others: Citizen, **roles: Role) -> bytes:
    by_id = {one.id: roles[one.person.name] for one in others if one.person.name in roles}
    return await town.group_of(owner, *others, roles=by_id, settings=[Setting("name", b"the choir")])


async def status(citizen: Citizen, group: bytes) -> Status | None:
    row = await citizen.do(lambda tx: find_group(tx, group))
    return None if row is None else row.status


async def own_token(citizen: Citizen, group: bytes) -> bytes | None:
    known = await citizen.do(lambda tx: known_own_token(tx, group))
    return None if known is None else known[0]
