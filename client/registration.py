"""Makes an account from an invite, in steps that can all be repeated: the same keys and the same manifest go up again.

docs/protocol.md, "Registration".
"""

import asyncio
import logging
import threading
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from relay.wire.links import InviteLink, parse_invite
from relay.wire.manifests import SignedManifest as WireManifest
from relay.wire.resources import (
    AccountAnswer,
    ManifestObject,
    RegisterRequest,
    RegistrationWork,
    RelayDocument,
    TokenClass,
)

from .account import Account, Pinned, as_registered, find_account, new_account, save_account
from .devices.device_names import encode_name, key_of
from .devices.shared_items import put_item
from .errors import (
    AccountExists,
    LoosePermissions,
    NoAccount,
    Refused,
    RelayMisbehaved,
    RelayUnreachable,
    UsageError,
)
from .message import Identity
from .own_tokens import hash_of, put_token
from .prekey_care import tend_prekeys
from .relay_terms import keep_terms
from .store import facts
from .store.database import Database, Transaction
from .store.key_file import create_key, load_key
from .system import System
from .transport import Transport, parse_origin
from .trust import refresh
from .work import AccountPiece, find_account_work

_log = logging.getLogger(__name__)
_TRIES: Final = 5  # of work, while more and more is asked for


@dataclass(frozen=True, slots=True)
class OpenRelay:
    """The address of a relay that may take accounts without an invite. Its key is the one that it names itself, from then on."""

    origin: str


@dataclass(frozen=True, slots=True)
class _Known:
    """An open relay that was asked who it is."""

    origin: str
    signing_key: bytes


def parse_entrance(text: str) -> InviteLink | OpenRelay:
    """An invite, or the address of a relay, like https://chat.example; raises UsageError."""
    if "#" not in text:
        return OpenRelay(parse_origin(text))
    try:
        return parse_invite(text)
    except ValueError as error:
        raise UsageError(f"not an invite link: {error}") from error


def prepare_home(home: Path, passphrase: str | None, system: System) -> bytes:
    """The key of the store in `home`, made now if there is none. Raises LoosePermissions, UsageError, StoreError."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {home}: {error.strerror}") from error
    if home.stat().st_mode & 0o022:
        raise LoosePermissions(f"others can write to {home}: run `chmod 700 {home}`")
    try:
        return load_key(home, passphrase)
    except NoAccount:
        if (home / "store.db").exists():
            raise LoosePermissions(f"{home} has a store whose key file is missing: put it back") from None
        return create_key(home, passphrase, system.random)


async def register_account(
    database: Database,
    entrance: InviteLink | OpenRelay,
    handle: str | None,
    system: System,
    device_name: str | None = None,
) -> Identity:
    """Register with the relay, publish prekeys and tokens. Without an invite that takes a while: a proof of work is looked for.

    Raises AccountExists, UsageError (begun with another relay), RelayUnreachable, RelayKeyChanged, Refused,
    LogRefused (then the account is there).
    """
    name = None if device_name is None else encode_name(device_name)
    relay = await _ask_who_it_is(entrance.origin, system) if isinstance(entrance, OpenRelay) else entrance
    account = await database.run(lambda tx: _begin(tx, relay, handle, system))
    async with Transport(relay.origin, system, account) as transport:
        document = await transport.relay_document(relay.signing_key)
        await database.run(lambda tx: keep_terms(tx, document))
        public_token = None
        if handle is not None:
            public_token, _ = await database.run(lambda tx: facts.own_token(tx, "public", system.random))
        signed = account.own.newest
        request = RegisterRequest(
            invite=entrance.secret if isinstance(entrance, InviteLink) else None,
            manifest=ManifestObject.of(WireManifest(signed.body, signed.signer, signed.signature)),
            handle=handle,
            public_token=public_token,
        )
        answer = await _register(transport, account, request, document)
        if answer.account_id != account.account_id:
            raise RelayMisbehaved("the relay registered another account than the one it was given")
        await tend_prekeys(transport, database, account, system)
        await register_token(transport, database, "contact", system)
        done = as_registered(account, answer.role)

        def keep(tx: Transaction) -> None:
            save_account(tx, done)
            if name is not None:
                put_item(tx, key_of(done.device_id), name, system)

        await database.run(keep)
        try:
            await refresh(transport, database, done, done.account_id, system.now_ms())
        except (RelayUnreachable, Refused) as error:
            _log.info("the log is looked at later: %s", error.code)
        return done.identity()


async def _ask_who_it_is(origin: str, system: System) -> _Known:
    async with Transport(origin, system) as unsigned:
        return _Known(origin, (await unsigned.relay_document(None)).signing_key)


async def _register(
    transport: Transport, account: Account, request: RegisterRequest, document: RelayDocument
) -> AccountAnswer:
    """Send it; without an invite with the work that the relay asks for at that moment."""
    for _ in range(_TRIES):
        if request.invite is None:
            request = request.model_copy(update={"work": await _work_for(account, document)})
        try:
            return (await transport.ask("POST", "/v1/accounts", body=request)).read(AccountAnswer)
        except Refused as refused:
            if refused.reason != "work_required":
                raise
            document = await transport.relay_document(account.relay_key)
    raise Refused("work_required", "the relay asks for more work each time: try again later", retryable=True)


async def _work_for(account: Account, document: RelayDocument) -> RegistrationWork | None:
    """What the document asks for; raises Refused where it takes nobody without an invite, or asks for too much."""
    if document.registration == "closed":
        raise Refused("not_allowed", "this relay takes no new accounts")
    if document.registration != "open":
        raise Refused("invite_invalid", "this relay takes new accounts by invite: ask who runs it for one")
    bits = document.registration_work_bits
    if not bits:
        return None
    piece = AccountPiece(account.origin, account.account_id, account.own.hash, document.time_ms, bits)
    stop = threading.Event()
    try:
        found = await asyncio.to_thread(partial(find_account_work, piece, given_up=stop.is_set))
    finally:
        stop.set()  # whoever is cancelled leaves no thread at work
    return None if found is None else RegistrationWork(time_ms=piece.time_ms, work=found)


def _begin(tx: Transaction, relay: Pinned, handle: str | None, system: System) -> Account:
    account = find_account(tx)
    if account is None:
        account = new_account(relay, handle, now_ms=system.now_ms(), random=system.random)
    elif account.registered:
        raise AccountExists("there is an account in this folder already: choose another folder")
    elif (account.origin, account.relay_key) != (relay.origin, relay.signing_key):
        raise UsageError(f"a registration with {account.origin} was begun in this folder: choose another one")
    account = replace(account, handle=handle)
    save_account(tx, account)
    return account


async def register_token(
    transport: Transport, database: Database, token_class: TokenClass, system: System
) -> bytes:
    """The own delivery token of a class, known to the relay. Raises RelayUnreachable, Refused."""
    token, is_registered = await database.run(lambda tx: facts.own_token(tx, token_class, system.random))
    if not is_registered:
        await put_token(transport, hash_of(token), token_class)
        await database.run(lambda tx: facts.token_registered(tx, token_class))
    return token
