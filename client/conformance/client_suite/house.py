"""What the scripted relay knows, and the script: by what it departs from a relay that does as it should."""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from weakref import WeakSet

from nacl.signing import SigningKey

from client.conformance.report import Failed
from client.conformance.wire import from_base64, sha256, to_base64, transcript, u64

from .checks import SeenDevice, SeenManifest, SeenPrekey, manifest, now_ms
from .merkle import Log, consistency_of, inclusion_of

Asked: TypeAlias = Literal["manifests", "handle", "bundle", "consistency proof"]
WORK_BITS: Final = 8
LIMITS: Final = {
    "max_message_bytes": 1_048_576,
    "max_frames_per_message": 64,
    "max_envelope_bytes": 262_144,
    "max_ttl_seconds": 2_592_000,
    "window_envelopes": 256,
    "mailbox_envelopes": 10_000,
    "mailbox_bytes": 67_108_864,
    "one_time_prekeys": 100,
    "prekeys_low": 25,
    "public_work_bits": WORK_BITS,
    "max_blob_bytes": 4_294_967_296,
    "max_blob_chunk_bytes": 8_388_608,
    "max_log_entry_bytes": 262_144,
    "account_log_entries": 100_000,
    "account_log_bytes": 268_435_456,
    "invites_of_account": 5,
    "stranger_unit_bytes": 8_192,
    "stranger_burst": 64,
}


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


@dataclass
class Account:
    """One account of the scripted relay, with one device."""

    manifest: SeenManifest
    told: dict[str, Any]
    handle: str | None
    public_token: bytes | None
    salt: bytes = field(default_factory=lambda: os.urandom(16))
    tokens: dict[bytes, str] = field(default_factory=dict)
    """SHA-256 of a delivery token → its class."""
    prekeys: list[SeenPrekey] = field(default_factory=list)
    highest: dict[int, int] = field(default_factory=dict)
    mailbox: Mailbox = field(default_factory=Mailbox)
    logs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def device(self) -> SeenDevice:
        """The first one."""
        return self.manifest.devices[0]


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
        return json.dumps(self.script.document(told)).encode()

    def sign_document(self, body: bytes) -> str:
        """The header TokenIM-Signature."""
        signed = transcript("tokenim/v1 relay-document", sha256(body))
        return to_base64(self.script.document_signature(self.key.sign(signed).signature))

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
        token = body.get("public_token")
        account = Account(seen, body["manifest"], body.get("handle"), from_base64(token) if token else None)
        self.accounts[seen.account_id] = account
        self.log.leaves.append(self.manifest_leaf(account))
        if account.handle and account.public_token:
            self.handles[account.handle] = account
            account.tokens[sha256(account.public_token)] = "public"
            self.log.leaves.append(self.handle_leaf(account))
        return account

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
        return transcript("tokenim/v1 log leaf", b"\x02", salted, u64(1), bound)

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
        """Of a delivery token of the account."""
        return account.tokens.get(sha256(token))
