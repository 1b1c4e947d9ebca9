"""Several devices of one account, in homes of their own, on a relay of `tests.chatting`."""

import asyncio
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from client.account import Account, as_registered, load_account, new_account, save_account
from client.client import Client
from client.devices.accepting import LinkedDevice, Wishes
from client.devices.joining import Talk
from client.prekey_care import tend_prekeys
from client.store import facts
from client.store.database import Database
from client.store.key_file import create_key, load_key
from client.store.log_rows import note_made
from client.system import System, this_machine
from client.transport import Transport
from crypto.manifest import build_manifest, device_entry, sign_manifest
from crypto.manifest_chain import VerifiedManifest, verify_chain
from relay.wire.links import DeviceLink, parse_invite
from relay.wire.manifests import SignedManifest as WireManifest
from relay.wire.resources import ManifestObject, ManifestRequest
from tests.chatting import People


async def account_of(people: People, name: str) -> Account:
    home = people.home(name)
    async with Database(home, load_key(home, None)) as database:
        return await database.read(load_account)


async def add_device(people: People, name: str, home: Path) -> None:
    """A second device of the account in a home of its own; the first one, its manager, signs it in."""
    first = await account_of(people, name)
    machine = this_machine()
    invite = parse_invite(await people.world.relay.invite())
    joined = new_account(invite, name, now_ms=machine.now_ms(), random=os.urandom)
    local = replace(joined.local, account_id=first.account_id)
    entries = [
        *first.own.manifest.devices,
        device_entry(local, added_at_ms=machine.now_ms(), manager=True),
    ]
    body = build_manifest(first.own.manifest.root_public, 2, first.own.hash, entries)
    signed = sign_manifest(body, first.local.signing, first.device_id)
    own = verify_chain(first.account_id, first.own, [signed])
    async with Database(people.home(name), load_key(people.home(name), None)) as database:
        await database.run(lambda tx: note_made(tx, signed.hash))
    async with Transport(first.origin, machine, first) as transport:
        manifest = ManifestObject.of(WireManifest(signed.body, signed.signer, signed.signature))
        await transport.ask(
            "POST", "/v1/accounts/self/manifests", body=ManifestRequest(manifest=manifest), signed=True
        )
    second = as_registered(replace(joined, local=local, own=own), "member")
    os.mkdir(home, mode=0o700)  # noqa: PTH102  # a moment
    async with (
        Database(home, create_key(home, None, os.urandom)) as database,
        Transport(second.origin, machine, second) as transport,
    ):
        await database.run(lambda tx: save_account(tx, second))
        await database.run(lambda tx: facts.own_token(tx, "contact", os.urandom))
        await tend_prekeys(transport, database, second, machine)


async def own_chain(client: Client) -> VerifiedManifest:
    """The list of the own devices as this client keeps it."""
    return (await client._account._database.read(load_account)).own


@dataclass
class Linking:
    """What a link showed on both sides; `answers` is what the user says on (the new device, the manager)."""

    answers: tuple[bool, bool] = (True, True)
    link: "asyncio.Future[DeviceLink]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    codes: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    @property
    def talk(self) -> Talk:
        """The new device's side."""
        return Talk(self.link.set_result, self._on_new)

    def wishes(self, **options: bool) -> Wishes:
        """The manager's side."""
        return Wishes(self._on_manager, **options)

    async def _on_new(self, code: str) -> bool:
        self.codes.append(code)
        return self.answers[0]

    async def _on_manager(self, code: str, name: str) -> bool:
        self.codes.append(code)
        self.names.append(name)
        return self.answers[1]


async def link_device(
    owner: Client, home: Path, *, name: str = "laptop", system: System | None = None, **options: bool
) -> LinkedDevice:
    """A new device in `home` of the account of `owner`, as users link one."""
    linking = Linking()
    origin = owner.whoami().relay
    joining = asyncio.create_task(Client.link(home, origin, linking.talk, name=name, system=system))
    try:
        await asyncio.wait({joining, linking.link}, return_when=asyncio.FIRST_COMPLETED)
        if joining.done():
            joining.result()
        linked = await owner.devices.accept(str(linking.link.result()), linking.wishes(**options))
    except BaseException:
        joining.cancel()
        raise
    await joining
    return linked
