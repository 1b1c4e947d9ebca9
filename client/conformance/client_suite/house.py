"""What the scripted relay knows, and the script: by what it departs from a relay that does as it should."""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from weakref import WeakSet

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.signing import SigningKey

from client.conformance.report import Failed
from client.conformance.wire import from_base64, sha256, to_base64, transcript, u64

from .checks import SeenDevice, SeenManifest, SeenPrekey, manifest, now_ms
from .limits import LIMITS
from .merkle import Log, consistency_of, inclusion_of
from .refusal import Refusal

Asked: TypeAlias = Literal["manifests", "handle", "bundle", "consistency proof"]


_VAPID_KEY: Final = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
)
"""No case has Web Push, but a document that offers wakeups names a key for it."""


@dataclass(frozen=True)
class Submit:
    """A `submit` frame that came: `fields` are its own, `asker` the device of the connection, None for nobody."""

    fields: list[Any]
    asker: bytes | None

    @property
    def envelope_id(self) -> bytes:
        """16 B."""
        return bytes(self.fields[1])

    @property
    def bytes_sent(self) -> tuple[Any, ...]:
        """What has to be the same under one id: ciphertexts and targets."""
        return self.fields[5], self.fields[6]


@dataclass
class Mailbox:
    """`waiting`: sequence → deliver frame. `came`: is set when something does."""

    waiting: dict[int, list[Any]] = field(default_factory=dict)
    last: int = 0
    delivered: int = 0
    stored: dict[bytes, bytes] = field(default_factory=dict)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, envelope_id: bytes, ciphertext: bytes, envelope_class: int = 1) -> int:
        """At its end; the sequence."""
        self.last += 1
        self.waiting[self.last] = [11, self.last, envelope_id, now_ms(), envelope_class, ciphertext]
        self.came.set()
        return self.last

    def put_missed(self, reason: int) -> int:
        """A gap that will never be filled."""
        self.last += 1
        self.waiting[self.last] = [13, self.last, self.last, reason]
        self.came.set()
        return self.last


@dataclass(frozen=True)
class Push:
    """Where a device is woken, as it registered, and the token of all wakeups there."""

    asked: dict[str, Any]
    token: bytes


@dataclass
class AccountLog:
    """A sealed log; `first` is the index of the oldest entry that is kept."""

    first: int = 0
    entries: list[dict[str, Any]] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The index of the next entry."""
        return self.first + len(self.entries)


@dataclass
class Account:
    """One account of the scripted relay; one device has a mailbox. `manifest` is the newest, `told` the first as it came."""

    manifest: SeenManifest
    told: dict[str, Any]
    handle: str | None
    public_token: bytes | None
    salt: bytes = b""
    handle_version: int = 0
    tokens: dict[bytes, str] = field(default_factory=dict)
    """SHA-256 of a delivery token → its class."""
    prekeys: list[SeenPrekey] = field(default_factory=list)
    highest: dict[int, int] = field(default_factory=dict)
    mailbox: Mailbox = field(default_factory=Mailbox)
    logs: dict[str, AccountLog] = field(default_factory=dict)
    token_ends: dict[bytes, int | None] = field(default_factory=dict)
    """When a token is good no more, by its SHA-256; None for never."""
    later: list[dict[str, Any]] = field(default_factory=list)
    """The manifests after the first, as they came."""
    profile: dict[str, Any] | None = None
    push: Push | None = None

    @property
    def device(self) -> SeenDevice:
        """The first one."""
        return self.manifest.devices[0]

    def log(self, name: str) -> AccountLog:
        """Empty if nobody has written to it."""
        return self.logs.setdefault(name, AccountLog())

    def as_json(self) -> dict[str, Any]:
        """The own account, as answers have it."""
        return {
            "account_id": to_base64(self.manifest.account_id),
            "role": "member",
            "handle": self.handle,
            "manifest_version": self.manifest.version,
        }


def _same(answer: Any) -> Any:
    return answer


@dataclass
class Script:
    """Each alters what the relay would say; `lose` names answers that are lost on their way, `METHOD PATH`, each once."""

    document: Callable[[dict[str, Any]], dict[str, Any]] = _same
    manifests: Callable[[dict[str, Any]], dict[str, Any]] = _same
    handle: Callable[[dict[str, Any]], dict[str, Any]] = _same
    bundle: Callable[[dict[str, Any]], dict[str, Any]] = _same
    consistency: Callable[[list[bytes]], list[bytes]] = _same
    blob: Callable[[bytes], bytes] = _same
    any_json: Callable[[dict[str, Any]], dict[str, Any]] = _same
    document_signature: Callable[[bytes], bytes] = _same
    outcome: Callable[[Submit], int] = lambda _: 1
    put: Callable[[Mailbox, bytes, bytes], object] = Mailbox.put
    """How an envelope comes into a mailbox: its id, its ciphertext."""
    acked: Callable[[Account, list[Any]], None] = lambda _account, _fields: None
    lose: list[str] = field(default_factory=list)
    lose_accepted: int = 0
    """So many submits are stored, and their connection ends without an answer."""
    clock_off_ms: int = 0
    anonymous_submit: bool = True


@dataclass
class House:
    """`broken`: what a client did against the document; it fails every case."""

    origin: str = ""
    key: SigningKey = field(default_factory=SigningKey.generate)
    script: Script = field(default_factory=Script)
    accounts: dict[bytes, Account] = field(default_factory=dict)
    handles: dict[str, Account] = field(default_factory=dict)
    submits: list[Submit] = field(default_factory=list)
    acks: list[tuple[bytes, list[Any]]] = field(default_factory=list)
    resumes: list[tuple[bytes, int]] = field(default_factory=list)
    requests: list[tuple[str, str, bytes | None]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    registrations: list[dict[str, Any]] = field(default_factory=list)
    bundles_asked: list[dict[str, Any]] = field(default_factory=list)
    asked: Counter[Asked] = field(default_factory=Counter)
    """How often was told what the script may have wrong."""
    closed_to: set[bytes] = field(default_factory=set)
    """Accounts of which clients are told what does not verify: from then on an envelope to one is a breach."""
    removed: set[bytes] = field(default_factory=set)
    """Ids of devices that the relay knows no more."""
    broken: list[str] = field(default_factory=list)
    nonces: set[bytes] = field(default_factory=set)
    named: WeakSet[Any] = field(default_factory=WeakSet)
    """Connections on which something signed was asked."""
    nameless: WeakSet[Any] = field(default_factory=WeakSet)
    """Connections on which a group log was asked for."""
    push_kinds: list[str] = field(default_factory=list)
    """Those that the document offers."""
    pushes: list[Push] = field(default_factory=list)
    """All that were ever registered."""
    happened: asyncio.Event = field(default_factory=asyncio.Event)
    secret: bytes = field(default_factory=lambda: os.urandom(16))

    def __post_init__(self) -> None:
        self.log = Log(self.key)

    @property
    def now_ms(self) -> int:
        """By the relay's clock, which the script may have wrong."""
        return now_ms() + self.script.clock_off_ms

    @property
    def invite(self) -> str:
        """A link for every client of the case."""
        return f"{self.origin}/invite#v1.{to_base64(self.secret + bytes(self.key.verify_key))}"

    def tell(self) -> None:
        """Something happened: whoever waits looks again."""
        self.happened.set()

    def told(self, what: Asked) -> None:
        """One more answer of this kind goes to a client."""
        self.asked[what] += 1
        self.tell()

    def breach(self, what: str) -> None:
        """A client did something that it must not."""
        self.broken.append(what)
        self.tell()

    def defect(self, where: str, error: Exception) -> None:
        """The scripted relay itself has failed, of which the client need not be guilty: that must not pass for a good case."""
        self.breach(f"the conformance kit's relay itself failed at {where}: {type(error).__name__}: {error}")

    def document(self) -> bytes:
        """The exact bytes."""
        told = {
            "relay": "tokenim-conformance",
            "versions": ["v1"],
            "origin": self.origin,
            "registration": "invite",
            "registration_work_bits": 0,
            "anonymous_submit": self.script.anonymous_submit,
            "signing_key": to_base64(bytes(self.key.verify_key)),
            "limits": LIMITS,
            "rates": {},
            "time_ms": self.now_ms,
        }
        if self.push_kinds:
            told["push"] = {"kinds": self.push_kinds, "vapid_key": to_base64(_VAPID_KEY)}
        return json.dumps(self.script.document(told)).encode()

    def sign_document(self, body: bytes) -> str:
        """The header TokenIM-Signature."""
        signed = transcript("tokenim/v1 relay-document", sha256(body))
        return to_base64(self.script.document_signature(self.key.sign(signed).signature))

    def sign_wakeup(self, target: str, time_ms: int, token: bytes) -> bytes:
        """The header TokenIM-Signature of a webhook."""
        fields = self.origin.encode(), target.encode(), u64(time_ms), token
        return self.key.sign(transcript("tokenim/v1 push webhook", *fields)).signature

    def register(self, body: dict[str, Any]) -> Account:
        """A new account, or the one that has this manifest already; raises Failed for what is wrong with it."""
        seen = manifest(body["manifest"])
        known = self.accounts.get(seen.account_id)
        if known is not None:
            if known.manifest.body != seen.body:
                raise Failed("a second registration of the account shows another manifest")
            return known
        if from_base64(body.get("invite") or "") != self.secret:
            raise Failed("the registration does not show the secret of the invite")
        if body.get("handle") in self.handles:
            raise Refusal("handle_taken", 409)
        token = body.get("public_token")
        account = Account(seen, body["manifest"], body.get("handle"), from_base64(token) if token else None)
        self.accounts[seen.account_id] = account
        self.log.leaves.append(self.manifest_leaf(account))
        if account.handle:
            self.name(account, account.handle, account.public_token)
        return account

    def name(self, account: Account, handle: str | None, public_token: bytes | None) -> None:
        """Put handle and public token of the account in the place of those before."""
        if account.handle and self.handles.get(account.handle) is account:
            del self.handles[account.handle]
        if account.public_token is not None:
            account.tokens.pop(sha256(account.public_token), None)
        account.handle, account.public_token, account.salt = handle, public_token, os.urandom(16)
        if handle and public_token:
            account.handle_version += 1
            self.handles[handle] = account
            account.tokens[sha256(public_token)] = "public"
            self.log.leaves.append(self.handle_leaf(account))

    def manifest_leaf(self, account: Account) -> bytes:
        """Of its newest manifest."""
        seen = account.manifest
        return transcript(
            "tokenim/v1 log leaf", b"\x01", seen.account_id, u64(seen.version), sha256(seen.body)
        )

    def handle_leaf(self, account: Account) -> bytes:
        """Of the binding of its handle."""
        salted = sha256(transcript("tokenim/v1 log handle", account.salt, (account.handle or "").encode()))
        bound = sha256(account.manifest.account_id)
        return transcript("tokenim/v1 log leaf", b"\x02", salted, u64(account.handle_version), bound)

    def inclusion(self, leaf: bytes) -> dict[str, Any]:
        """As answers hold it."""
        index = self.log.index(leaf)
        return {
            "head": to_base64(self.log.head(now_ms())),
            "index": index,
            "hashes": [to_base64(one) for one in inclusion_of(index, self.log.leaves)],
        }

    def consistency(self, first: int, second: int) -> list[bytes]:
        """The hashes of the proof."""
        self.told("consistency proof")
        return self.script.consistency(consistency_of(first, self.log.leaves[:second]))

    def of_device(self, device_id: bytes) -> Account | None:
        """Whose device it is."""
        for account in self.accounts.values():
            if any(one.device_id == device_id for one in account.manifest.devices):
                return account
        return None

    def token_class(self, account: Account, token: bytes) -> str | None:
        """Of a delivery token of the account that is good now."""
        ends = account.token_ends.get(sha256(token))
        return account.tokens.get(sha256(token)) if ends is None or now_ms() < ends else None

    def json(self, told: dict[str, Any], status: int = 200) -> web.Response:
        """An answer, as the script would have it."""
        return web.json_response(self.script.any_json(told), status=status)


def take_mailbox(house: House, account: Account, after: int) -> None:
    """As `resume` and a long poll do, which acknowledge up to `after`; raises Failed above what was delivered."""
    box = account.mailbox
    if after > box.delivered:
        raise Failed(f"a mailbox is taken from {after} on, above what was ever delivered, {box.delivered}")
    house.resumes.append((account.manifest.account_id, after))
    for sequence in [one for one in box.waiting if one <= after]:
        del box.waiting[sequence]


def acknowledge(house: House, account: Account, fields: list[Any]) -> None:
    """`fields` of an ack; raises Failed above what was delivered."""
    box, also = account.mailbox, fields[1] if len(fields) > 1 else []
    if max([fields[0], *also]) > box.delivered:
        raise Failed(f"ack({fields}) is above what was delivered, {box.delivered}")
    house.script.acked(account, fields)
    house.acks.append((account.manifest.account_id, fields))
    for sequence in [one for one in box.waiting if one <= fields[0] or one in also]:
        del box.waiting[sequence]
    box.came.set()
