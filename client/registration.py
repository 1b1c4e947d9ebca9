"""Makes an account from an invite, in steps that can all be repeated: the same keys and the same manifest go up again.

docs/protocol.md, "Registration".
"""

import logging
from dataclasses import replace
from pathlib import Path

from relay.wire.links import InviteLink, parse_invite
from relay.wire.manifests import SignedManifest as WireManifest
from relay.wire.resources import (
    AccountAnswer,
    ManifestObject,
    RegisterRequest,
    TokenClass,
)

from .account import Account, as_registered, find_account, new_account, save_account
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
from .transport import Transport
from .trust import refresh

_log = logging.getLogger(__name__)


def parse_invite_link(link: str) -> InviteLink:
    """The invite; raises UsageError."""
    try:
        return parse_invite(link)
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
    invite: InviteLink,
    handle: str | None,
    system: System,
    device_name: str | None = None,
) -> Identity:
    """Register with the relay of the invite, publish prekeys and tokens.

    Raises AccountExists, UsageError (begun with another relay), RelayUnreachable, RelayKeyChanged, Refused,
    LogRefused (then the account is there).
    """
    name = None if device_name is None else encode_name(device_name)
    account = await database.run(lambda tx: _begin(tx, invite, handle, system))
    async with Transport(invite.origin, system, account) as transport:
        document = await transport.relay_document(invite.signing_key)
        await database.run(lambda tx: keep_terms(tx, document))
        public_token = None
        if handle is not None:
            public_token, _ = await database.run(lambda tx: facts.own_token(tx, "public", system.random))
        signed = account.own.newest
        answered = await transport.ask(
            "POST",
            "/v1/accounts",
            body=RegisterRequest(
                invite=invite.secret,
                manifest=ManifestObject.of(WireManifest(signed.body, signed.signer, signed.signature)),
                handle=handle,
                public_token=public_token,
            ),
        )
        answer = answered.read(AccountAnswer)
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


def _begin(tx: Transaction, invite: InviteLink, handle: str | None, system: System) -> Account:
    account = find_account(tx)
    if account is None:
        account = new_account(invite, handle, now_ms=system.now_ms(), random=system.random)
    elif account.registered:
        raise AccountExists("there is an account in this folder already: choose another folder")
    elif (account.origin, account.relay_key) != (invite.origin, invite.signing_key):
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
