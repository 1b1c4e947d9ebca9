"""The bodies of the HTTP API as models; docs/protocol.md, "HTTP". `/v1/openapi.json` is made from them.

Requests refuse unknown fields; a client ignores unknown fields of an answer, so that answers can grow.
Bytes are unpadded base64url; ids in paths are base32, lower case (links.py).
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from . import limits
from .frames import EnvelopeClass, MissedReason, Outcome
from .links import decode_bytes, encode_bytes
from .manifests import SignedManifest
from .prekeys import PrekeyKind


def _to_bytes(value: Any) -> Any:
    return decode_bytes(value) if isinstance(value, str) else value


Base64Url = Annotated[
    bytes,
    BeforeValidator(_to_bytes),
    PlainSerializer(encode_bytes, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_-]*$", "contentEncoding": "base64url"}),
]
Bytes8 = Annotated[Base64Url, Field(min_length=8, max_length=8)]
Bytes16 = Annotated[Base64Url, Field(min_length=16, max_length=16)]
Bytes32 = Annotated[Base64Url, Field(min_length=32, max_length=32)]
Bytes64 = Annotated[Base64Url, Field(min_length=64, max_length=64)]
Ciphertext = Annotated[Base64Url, Field(min_length=1, max_length=limits.MAX_ENVELOPE_BYTES)]
Counter = Annotated[int, Field(ge=0, le=2**53)]
SequenceNumber = Annotated[int, Field(ge=0, le=limits.MAX_SEQUENCE)]
TokenClass = Literal["contact", "group", "link", "public"]


class Request(BaseModel):
    """Base of what a client sends: frozen, strict, nothing unknown."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", ser_json_bytes="utf8")


class Answer(BaseModel):
    """Base of what the relay answers."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Problem(Answer):
    """RFC 9457 problem document, `application/problem+json`; `code` is stable, `request_id` names the log line."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    retryable: bool = False
    request_id: str


class ManifestObject(Request):
    """A signed manifest: its exact bytes, the signer (16 B device id, empty for the root key), 64 B signature."""

    body: Annotated[Base64Url, Field(min_length=1, max_length=limits.MAX_MANIFEST_BYTES)]
    signer: Annotated[Base64Url, Field(max_length=limits.DEVICE_ID_BYTES)]
    signature: Bytes64

    @classmethod
    def of(cls, signed: SignedManifest) -> "ManifestObject":
        """The model of a signed manifest."""
        return cls(body=signed.body, signer=signed.signer, signature=signed.signature)

    def signed_manifest(self) -> SignedManifest:
        """The plain value."""
        return SignedManifest(self.body, self.signer, self.signature)


class RegistrationWork(Request):
    """A proof of work for an account without an invite."""

    time_ms: Counter
    """When the client looked for it, by the relay's document."""
    work: Bytes8


class RegisterRequest(Request):
    """POST /v1/accounts. Unsigned: the invite or the work allows it, the manifest's signatures prove the keys."""

    invite: Bytes16 | None = None
    manifest: ManifestObject
    work: RegistrationWork | None = None
    """Instead of an invite, where `registration` of the relay document is `open`."""
    handle: str | None = None
    public_token: Bytes16 | None = None
    """Delivery token that the directory gives to whoever looks the handle up; needs `handle`."""


class GuestObject(Answer):
    """What a guest's own account is: it is deleted at `expires_at_ms`, and writes to `hosts` alone."""

    expires_at_ms: Counter
    hosts: list[Bytes32]


class AccountAnswer(Answer):
    """The own account."""

    account_id: Bytes32
    role: str
    handle: str | None
    manifest_version: int
    guest: GuestObject | None = None
    """Of an account that came by an invite for guests."""


class ManifestRequest(Request):
    """POST /v1/accounts/self/manifests: the next manifest, by compare-and-swap."""

    manifest: ManifestObject


class Inclusion(Answer):
    """That a leaf is in the transparency log: the signed head of a log, the leaf's place in it, hashes from the leaf upwards."""

    head: Base64Url
    index: Counter
    hashes: list[Bytes32]


class ManifestsAnswer(Answer):
    """A part of an account's chain, in order; `latest` is the newest version there is, `inclusion` proves that it is logged."""

    manifests: list[ManifestObject]
    latest: int
    inclusion: Inclusion


class OwnDevice(Answer):
    """A device of the own account, and when it was last here."""

    device_id: Bytes16
    added_at_ms: Counter
    seen_day: Counter
    """Days since 1970; 0 if it never was. Nothing finer is kept."""


class OwnDevicesAnswer(Answer):
    """GET /v1/accounts/self/devices, in ascending order of their ids."""

    devices: list[OwnDevice]


class RecoveryRequest(Request):
    """POST /v1/recovery: the account's chain for whoever has its root key. `signature` is by that key."""

    account_id: Bytes32
    time_ms: Counter
    nonce: Bytes16
    signature: Bytes64


class HandleRequest(Request):
    """PUT /v1/handle."""

    handle: str
    public_token: Bytes16 | None = None


class HandleAnswer(Answer):
    """GET /v1/handles/{handle}: whom it names, the token to reach them, and the proof that the log has it so.

    `version` and `salt` make the handle's leaf.
    """

    account_id: Bytes32
    public_token: Bytes16
    version: Counter
    salt: Bytes16
    inclusion: Inclusion


class HeadAnswer(Answer):
    """GET /v1/transparency/head: the newest signed head."""

    head: Base64Url


class ConsistencyAnswer(Answer):
    """GET /v1/transparency/consistency?from=&to=: that the log of `to` leaves begins with the one of `from`."""

    hashes: list[Bytes32]


class DeliveryTokenRequest(Request):
    """POST /v1/delivery-tokens. Only the SHA-256 of the token goes to the relay."""

    token_hash: Bytes32
    token_class: TokenClass
    expires_at_ms: Counter | None = None


class DeliveryToken(Answer):
    """One of the own tokens, as far as the relay knows it."""

    token_hash: Bytes32
    token_class: TokenClass
    expires_at_ms: Counter | None


class DeliveryTokensAnswer(Answer):
    """GET /v1/delivery-tokens."""

    tokens: list[DeliveryToken]


class PrekeysRequest(Request):
    """POST /v1/prekeys: signed keys, each id above the highest accepted of its kind."""

    keys: Annotated[list[Base64Url], Field(min_length=1, max_length=limits.MAX_PREKEYS_PER_APPEND)]


class PrekeyStock(Answer):
    """What the relay holds of one kind."""

    kind: PrekeyKind
    one_time_left: Counter
    highest_id: Counter
    """Highest id ever accepted; 0 if none (ids begin at 1)."""


class PrekeyStockAnswer(Answer):
    """GET /v1/prekeys. `digest` is SHA-256 over the encoded keys held, ordered by kind, class and id."""

    stock: list[PrekeyStock]
    digest: Bytes32


class ClaimRequest(Request):
    """POST /v1/accounts/{account_id}/bundles: one bundle for each device (all, or those named)."""

    token: Bytes16 | None = None
    """Delivery token of the account; none for own devices."""
    devices: Annotated[list[Bytes16], Field(max_length=limits.MAX_DEVICES)] | None = None


class Bundle(Answer):
    """Signed keys of one device; identity keys come from its manifest, never from here."""

    device_id: Bytes16
    signed_prekey: Base64Url
    kem_prekey: Base64Url
    one_time_prekey: Base64Url | None
    sealing_key: Base64Url


class BundlesAnswer(Answer):
    """The bundles, with the version of the manifest they belong to. A device without prekeys is left out."""

    manifest_version: int
    bundles: list[Bundle]


class TargetObject(Request):
    """As the frame's: device, index of its ciphertext, index of the grant that speaks for it."""

    device_id: Bytes16
    ciphertext: Annotated[int, Field(ge=0)]
    grant: Annotated[int, Field(ge=0)]


class GrantObject(Request):
    """As the frame's."""

    account_id: Bytes32
    token: Annotated[Base64Url, Field(max_length=limits.DELIVERY_TOKEN_BYTES)]
    manifest_version: Counter


class SubmitRequest(Request):
    """POST /v1/envelopes: the `submit` frame; anonymous with tokens, or signed for own devices."""

    envelope_id: Bytes16
    envelope_class: EnvelopeClass
    urgent: bool = False
    ttl_seconds: Annotated[int, Field(ge=0, le=limits.MAX_TTL_SECONDS)]
    ciphertexts: Annotated[
        list[Ciphertext], Field(min_length=1, max_length=limits.MAX_CIPHERTEXTS_PER_SUBMIT)
    ]
    targets: Annotated[list[TargetObject], Field(min_length=1, max_length=limits.MAX_TARGETS_PER_SUBMIT)]
    grants: Annotated[list[GrantObject], Field(min_length=1, max_length=limits.MAX_GRANTS_PER_SUBMIT)]
    work: Annotated[
        list[Annotated[Base64Url, Field(max_length=limits.WORK_BYTES)]],
        Field(max_length=limits.MAX_GRANTS_PER_SUBMIT),
    ] = []


class ManifestBehind(Answer):
    """This account has a newer manifest than the sender believes."""

    account_id: Bytes32
    version: int


class SubmitAnswer(Answer):
    """The `accepted` frame."""

    outcomes: list[Outcome]
    manifest_behind: list[ManifestBehind]


class EnvelopeObject(Answer):
    """The `deliver` frame."""

    sequence: SequenceNumber
    envelope_id: Bytes16
    received_at_ms: Counter
    envelope_class: EnvelopeClass
    ciphertext: Base64Url


class MissedObject(Answer):
    """The `missed` frame."""

    from_sequence: SequenceNumber
    to_sequence: SequenceNumber
    reason: MissedReason


class MailboxAnswer(Answer):
    """GET /v1/mailbox?after=&wait_seconds=: what waits, in order; empty after the wait."""

    envelopes: list[EnvelopeObject]
    missed: list[MissedObject]
    next_sequence: SequenceNumber
    more: bool


class AckRequest(Request):
    """POST /v1/mailbox/ack: the `ack` frame."""

    up_to: SequenceNumber
    also: Annotated[list[SequenceNumber], Field(max_length=limits.MAX_ACK_ALSO)] = []


class QuarantineAnswer(Answer):
    """GET /v1/mailbox/quarantine: envelopes that were delivered MAX_DELIVERY_ATTEMPTS times without an ack."""

    envelopes: list[EnvelopeObject]


class RateObject(Answer):
    """So much at once, then so much a second (the generic cell rate algorithm)."""

    burst: Annotated[int, Field(ge=1, le=1_000_000)]
    per_second: Annotated[float, Field(gt=0, le=1_000_000)]


class PushOffer(Answer):
    """In the relay's document: the kinds that a device may register, and the key that Web Push subscriptions name."""

    kinds: list[str]
    vapid_key: Base64Url


class RelayDocument(Answer):
    """GET /.well-known/tokenim; the header `TokenIM-Signature` signs the exact bytes with `signing_key`."""

    relay: str
    versions: list[str]
    origin: str
    registration: Literal["invite", "open", "admin", "closed"]
    registration_work_bits: Annotated[int, Field(ge=0, le=limits.MAX_REGISTRATION_WORK_BITS)] = 0
    """Zero bits that the work for an account without an invite needs at this moment; 0: none."""
    anonymous_submit: bool
    """Whether submits to others come on connections without identity; if not, they come on authenticated ones alone."""
    signing_key: Bytes32
    limits: dict[str, int]
    rates: dict[str, RateObject] = {}
    """By the names of `rates` in the relay's settings; who takes more gets `rate_limited` with the time to wait."""
    push: PushOffer = PushOffer(kinds=[], vapid_key=b"")
    time_ms: Counter


class HealthAnswer(Answer):
    """GET /health and /ready."""

    status: Literal["ok", "not_ready"]
    reasons: list[str] = []
