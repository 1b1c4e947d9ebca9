"""Profiles: the own one, put at the relay and its key told to contacts; theirs, fetched and judged. docs/protocol.md, "Profiles".

Each version has a key of its own, so who was cut off reads none that comes after. The own profile, the keys of others and who
was told are shared items: all own devices know them.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from crypto.errors import CryptoError, InvalidEncoding, UnknownDevice
from crypto.limits import PROFILE_KEY_BYTES
from crypto.profile import open_profile, seal_profile
from relay.wire.limits import DEVICE_ID_BYTES
from relay.wire.links import encode_id
from relay.wire.profile_resources import ProfileAnswer, ProfileRequest

from .account import Account, load_account
from .contents import ContentType
from .devices.shared_items import put_item
from .errors import Refused, RelayMisbehaved, UsageError
from .incoming import Incoming
from .outbox import Outbox
from .signals import draft_signal
from .store.database import Database, Transaction
from .store.peers import Peer, accepted_peers
from .store.shared import MAX_VALUE_BYTES, Item, find_item, save_item
from .system import System
from .transport import Transport
from .trust import refresh

OWN: Final = "profile/own"
TOLD: Final = "profile/told"
MAX_NAME_CHARACTERS: Final = 64
MAX_ABOUT_CHARACTERS: Final = 500
_TRIES: Final = 5
_BEGINNING_BYTES: Final = 8  # of an account's id, in the list of those who were told
_MAX_TOLD: Final = (MAX_VALUE_BYTES - 64) // (_BEGINNING_BYTES + 2)

Key = Annotated[bytes, Meta(min_length=PROFILE_KEY_BYTES, max_length=PROFILE_KEY_BYTES)]
Version = Annotated[int, Meta(ge=1, le=2**53)]


class ProfileContent(msgspec.Struct, frozen=True, array_like=True):
    """What a profile says. Fields may be added at the end."""

    name: Annotated[str, Meta(max_length=MAX_NAME_CHARACTERS)]
    about: Annotated[str, Meta(max_length=MAX_ABOUT_CHARACTERS)] = ""


class ProfileKey(msgspec.Struct, frozen=True, array_like=True):
    """The body of a `profile_key` content, and the value of `profile/<hex of an account id>`: newest version, and its key."""

    key: Key
    version: Version

    def __repr__(self) -> str:
        return f"ProfileKey(version={self.version})"


class OwnProfile(msgspec.Struct, frozen=True, array_like=True):
    """The value of `profile/own`: the newest version, its key, the device that signed it, what it says."""

    key: Key
    version: Version
    signer: Annotated[bytes, Meta(min_length=DEVICE_ID_BYTES, max_length=DEVICE_ID_BYTES)]
    content: ProfileContent

    def __repr__(self) -> str:
        return f"OwnProfile(version={self.version})"


class Told(msgspec.Struct, frozen=True, array_like=True):
    """The value of `profile/told`: of which version whom was told, by the first 8 B of their account ids."""

    version: Version
    accounts: list[bytes]


@dataclass(frozen=True, slots=True)
class ShownProfile:
    """A profile as it is shown; `account` in base32."""

    account: str
    name: str
    about: str
    version: int

    def as_json(self) -> dict[str, Any]:
        """The object for scripts."""
        about = {"name": self.name, "about": self.about, "version": self.version}
        return {"type": "profile", "account": self.account, **about}


_key: Final = msgspec.msgpack.Decoder(ProfileKey)
_own: Final = msgspec.msgpack.Decoder(OwnProfile)
_told: Final = msgspec.msgpack.Decoder(Told)
_content: Final = msgspec.msgpack.Decoder(ProfileContent)
_BAD: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _key_of(account_id: bytes) -> str:
    return f"profile/{account_id.hex()}"


def find_own(tx: Transaction) -> OwnProfile | None:
    """The own profile; None for none, or one in a form of a newer version."""
    item = find_item(tx, OWN)
    try:
        return None if item is None else _own.decode(item.value)
    except _BAD:
        return None


def find_key(tx: Transaction, account_id: bytes) -> ProfileKey | None:
    """The newest version of an account's profile that it told of; None: it told of none."""
    item = find_item(tx, _key_of(account_id))
    try:
        return None if item is None else _key.decode(item.value)
    except _BAD:
        return None


def hear_profile_key(incoming: Incoming) -> None:
    """Keep what a contact tells; an older version than is known changes nothing. Raises InvalidEncoding."""
    try:
        told = _key.decode(incoming.body)
    except _BAD as error:
        raise InvalidEncoding("not the body of a profile key") from error
    known = find_key(incoming.tx, incoming.account_id)
    if incoming.is_own or (known is not None and told.version <= known.version):
        return
    key, now_ms = _key_of(incoming.account_id), incoming.batch.now_ms
    # All own devices hear it, so none is told; a new device gets it with all other items.
    save_item(incoming.tx, Item(key, msgspec.msgpack.encode(told), now_ms, incoming.account.device_id))


def _told_of(tx: Transaction, version: int) -> set[bytes]:
    """Beginnings of the ids of those who know this version."""
    item = find_item(tx, TOLD)
    try:
        told = None if item is None else _told.decode(item.value)
    except _BAD:
        return set()  # in a form of a newer version: all are told once more, which does no harm
    return set(told.accounts) if told is not None and told.version == version else set()


def tell_contacts(tx: Transaction, system: System) -> bool:
    """Tell the contacts who do not know it the key of the newest version; whether something was drafted."""
    own = find_own(tx)
    if own is None:
        return False
    known = _told_of(tx, own.version)
    due = [
        peer.account_id
        for peer in accepted_peers(tx)
        if peer.token is not None and not peer.blocked and peer.account_id[:_BEGINNING_BYTES] not in known
    ][: _MAX_TOLD - len(known)]
    if not due:
        return False
    body = msgspec.msgpack.encode(ProfileKey(own.key, own.version))
    draft_signal(tx, load_account(tx), due, ContentType.PROFILE_KEY, body, system)
    known.update(account_id[:_BEGINNING_BYTES] for account_id in due)
    put_item(tx, TOLD, msgspec.msgpack.encode(Told(own.version, sorted(known))), system)
    return True


def _checked(name: str, about: str) -> ProfileContent:
    name, about = name.strip(), about.strip()
    if not name or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise UsageError(f"a name is 1 to {MAX_NAME_CHARACTERS} printable characters")
    if len(about) > MAX_ABOUT_CHARACTERS:
        raise UsageError(f"what is said about yourself has at most {MAX_ABOUT_CHARACTERS} characters")
    return ProfileContent(name, about)


class Profiles:
    """Profiles of an open account: the own one, and those of contacts."""

    def __init__(
        self, account: Account, transport: Transport, database: Database, system: System, outbox: Outbox
    ) -> None:
        self._account = account
        self._transport = transport
        self._database = database
        self._system = system
        self._outbox = outbox

    async def set(self, name: str, about: str = "", *, patience_seconds: float = 5.0) -> ShownProfile:
        """Make this the own profile, and tell the contacts its key.

        Returns once the relay has it; contacts who are not told within `patience_seconds` are told later. Raises UsageError,
        Refused, RelayUnreachable.
        """
        own = await self._put(_checked(name, about))
        sending = await self._outbox.everything()
        try:
            await sending.until(0, patience_seconds)
        finally:
            sending.close()
        return self._shown(self._account.account_id, own.version, own.content)

    async def own(self) -> ShownProfile | None:
        """The own profile as this device knows it; None: there is none."""
        own = await self._database.read(find_own)
        return None if own is None else self._shown(self._account.account_id, own.version, own.content)

    async def show(self, peer: Peer) -> ShownProfile:
        """What a contact says of itself now.

        Raises UsageError if it gave this account no key, RelayMisbehaved for an older version than is known or one that it did
        not sign, Refused, RelayUnreachable.
        """
        known = await self._database.read(lambda tx: find_key(tx, peer.account_id))
        if known is None or peer.token is None:
            raise UsageError(f"{peer.name} has shown you no profile")
        target = f"/v1/accounts/{encode_id(peer.account_id)}/profile"
        answer = (await self._transport.ask("GET", target, token=peer.token)).read(ProfileAnswer)
        if answer.version < known.version:
            raise RelayMisbehaved(f"the relay shows an older profile of {peer.name} than there is")
        if answer.version > known.version:
            raise UsageError(f"{peer.name} has changed it, and the key has not come yet: look again later")
        try:
            statement = open_profile(answer.profile, known.key, peer.account_id, answer.version)
            try:
                if peer.chain is None:
                    raise UnknownDevice("no device list yet")
                statement.verify(peer.chain)
            except UnknownDevice:
                now_ms = self._system.now_ms()
                statement.verify(
                    await refresh(self._transport, self._database, self._account, peer.account_id, now_ms)
                )
            return self._shown(peer.account_id, answer.version, _content.decode(statement.content))
        except (CryptoError, *_BAD) as error:
            raise RelayMisbehaved(f"this is not the profile of {peer.name}: {error}") from error

    async def look(self) -> None:
        """Tell contacts who came since, and put the own profile anew if the device that signed it is gone."""
        own = await self._database.read(find_own)
        if own is None:
            return
        devices = (await self._database.read(load_account)).own.manifest.devices
        is_first = devices[0].device_id == self._account.device_id  # else each would put one
        if is_first and all(one.device_id != own.signer for one in devices):
            await self._put(own.content)
        elif await self._database.run(lambda tx: tell_contacts(tx, self._system)):
            self._outbox.wake()

    async def _put(self, content: ProfileContent) -> OwnProfile:
        before = await self._database.read(find_own)
        version = 1 if before is None else before.version + 1
        for _ in range(_TRIES):
            key = self._system.random(PROFILE_KEY_BYTES)
            encoded = msgspec.msgpack.encode(content)
            sealed = seal_profile(encoded, key, self._account.local, version, self._system.random)
            request = ProfileRequest(version=version, profile=sealed)
            try:
                await self._transport.ask("PUT", "/v1/profile", body=request, signed=True)
            except Refused as refused:
                if refused.reason != "conflict":
                    raise
                version = max(version, await self._kept_version()) + 1  # another own device was first
                continue
            own = OwnProfile(key, version, self._account.device_id, content)
            await self._database.run(lambda tx: self._keep(tx, own))  # noqa: B023  # awaited here
            self._outbox.wake()
            return own
        raise Refused("conflict", "other devices change the profile as well: try again", retryable=True)

    def _keep(self, tx: Transaction, own: OwnProfile) -> None:
        put_item(tx, OWN, msgspec.msgpack.encode(own), self._system)
        tell_contacts(tx, self._system)

    async def _kept_version(self) -> int:
        target = f"/v1/accounts/{encode_id(self._account.account_id)}/profile"
        return (await self._transport.ask("GET", target, signed=True)).read(ProfileAnswer).version

    @staticmethod
    def _shown(account_id: bytes, version: int, content: ProfileContent) -> ShownProfile:
        return ShownProfile(encode_id(account_id), content.name, content.about, version)
