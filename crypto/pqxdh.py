"""Session set-up: PQXDH between two listed devices, with an ML-KEM key always (there is no classical mode).

After Signal's "The PQXDH Key Agreement Protocol", with the transcript of everything that was agreed in the info of
the key derivation; SHA-256 of it is the session id. Knows nothing of envelopes or of the sessions there are.
docs/protocol.md, "Session set-up (PQXDH)".
"""

from dataclasses import dataclass
from struct import Struct
from typing import Final

from . import labels
from .chains import SessionSecrets
from .errors import InvalidEncoding, InvalidKey
from .keys import LocalDevice, X25519PrekeyPair
from .local_prekeys import LocalPrekey
from .manifest import DeviceEntry
from .prekeys import Bundle, KeyClass, KeyKind, tagged_key
from .primitives import KemPrivateKey, RandomBytes, hkdf_sha256, ml_kem_768_encapsulate, sha256, x25519
from .transcript import transcript, u32, u64

__all__ = [
    "SETUP_VALUES_BYTES",
    "ManifestRef",
    "Party",
    "PrekeysUsed",
    "SetupValues",
    "derive_secrets",
    "initiate",
    "respond",
    "session_transcript",
]

_PREFIX: Final = b"\xff" * 32  # keeps the input apart from an XEdDSA input; PQXDH, "Cryptographic notation"
_NO_SALT: Final = bytes(32)
_VALUES: Final = Struct(">32s16sQ32sQ32sIIBIBI32s1088s")
SETUP_VALUES_BYTES: Final = _VALUES.size  # 1,266


@dataclass(frozen=True, slots=True)
class ManifestRef:
    """A manifest as a session names it: version and 32 B hash."""

    version: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Party:
    """One side of a session: 32 B account id, 16 B device id, 32 B identity key, the manifest that lists it."""

    account_id: bytes
    device_id: bytes
    identity_public: bytes
    manifest: ManifestRef

    @classmethod
    def local(cls, device: LocalDevice, manifest: ManifestRef) -> "Party":
        """This device."""
        return cls(device.account_id, device.device_id, device.identity.public, manifest)

    @classmethod
    def peer(cls, account: bytes, entry: DeviceEntry, manifest: ManifestRef) -> "Party":
        """A device of a verified manifest."""
        return cls(account, entry.device_id, entry.identity_public, manifest)


@dataclass(frozen=True, slots=True)
class SetupValues:
    """What the initiator A tells the responder B, in 1,266 B; the identity keys come from the manifests.

    `peer_manifest` is B's manifest as A was shown it, so B notices a split view (A10).
    """

    account_id: bytes
    device_id: bytes
    manifest: ManifestRef
    peer_manifest: ManifestRef
    setup_number: int
    signed_id: int
    one_time_id: int | None
    kem_class: KeyClass
    kem_id: int
    ephemeral_public: bytes
    kem_ciphertext: bytes

    def encode(self) -> bytes:
        """The exact layout.

        Account 32 ‖ device 16 ‖ version u64 ‖ hash 32 ‖ B's version u64 ‖ B's hash 32 ‖ set-up number u32 ‖ signed
        prekey id u32 ‖ one-time flag 1 ‖ one-time id u32 (0 without) ‖ ML-KEM class 1 ‖ ML-KEM id u32 ‖ EK 32 ‖
        ciphertext 1,088.
        """
        return _VALUES.pack(
            self.account_id,
            self.device_id,
            self.manifest.version,
            self.manifest.hash,
            self.peer_manifest.version,
            self.peer_manifest.hash,
            self.setup_number,
            self.signed_id,
            self.one_time_id is not None,
            self.one_time_id or 0,
            self.kem_class,
            self.kem_id,
            self.ephemeral_public,
            self.kem_ciphertext,
        )

    @classmethod
    def parse(cls, data: bytes) -> "SetupValues":
        """Inverse of `encode`; InvalidEncoding for anything that `encode` does not give."""
        if len(data) != SETUP_VALUES_BYTES:
            raise InvalidEncoding(f"set-up values must be {SETUP_VALUES_BYTES} bytes, got {len(data)}")
        fields = _VALUES.unpack(data)
        account, device, version, manifest_hash, peer_version, peer_hash, number, signed_id = fields[:8]
        has_one_time, one_time_id, kem_class, kem_id, ephemeral, ciphertext = fields[8:]
        if has_one_time > 1 or (not has_one_time and one_time_id):
            raise InvalidEncoding("set-up values with an ambiguous one-time key")
        if kem_class not in (KeyClass.ONE_TIME, KeyClass.LAST_RESORT):
            raise InvalidEncoding("set-up values with an ML-KEM key of no such class")
        return cls(
            account_id=account,
            device_id=device,
            manifest=ManifestRef(version, manifest_hash),
            peer_manifest=ManifestRef(peer_version, peer_hash),
            setup_number=number,
            signed_id=signed_id,
            one_time_id=one_time_id if has_one_time else None,
            kem_class=KeyClass(kem_class),
            kem_id=kem_id,
            ephemeral_public=ephemeral,
            kem_ciphertext=ciphertext,
        )

    def digest(self) -> bytes:
        """32 B SHA-256 of the encoding: finds the session of a set-up again when its one-time keys are gone."""
        return sha256(self.encode())


@dataclass(frozen=True, slots=True)
class PrekeysUsed:
    """The public halves of B's keys that a set-up uses, each as kind 1 ‖ class 1 ‖ id u32 ‖ key."""

    signed: bytes
    one_time: bytes | None
    kem: bytes


def session_transcript(a: Party, b: Party, values: SetupValues, used: PrekeysUsed) -> bytes:
    """Everything both sides agreed on, in the order of docs/protocol.md; its SHA-256 is the session id (A8)."""
    return transcript(
        labels.SESSION_TRANSCRIPT,
        a.account_id,
        a.device_id,
        u64(a.manifest.version),
        a.manifest.hash,
        a.identity_public,
        b.account_id,
        b.device_id,
        u64(b.manifest.version),
        b.manifest.hash,
        b.identity_public,
        u32(values.setup_number),
        used.signed,
        used.one_time,
        used.kem,
        values.ephemeral_public,
        values.kem_ciphertext,
    )


def derive_secrets(agreed: bytes, exchanges: tuple[bytes, ...], kem_secret: bytes) -> SessionSecrets:
    """RK₀ ‖ HK_A ‖ NHK_B from DH1 ‖ DH2 ‖ DH3 [‖ DH4] ‖ SS under the transcript `agreed`."""
    session_id = sha256(agreed)
    ikm = b"".join((_PREFIX, *exchanges, kem_secret))
    keys = hkdf_sha256(_NO_SALT, ikm, labels.SESSION_KEYS + session_id, 96)
    return SessionSecrets(session_id, keys[:32], keys[32:64], keys[64:])


def initiate(
    local: LocalDevice,
    own_manifest: ManifestRef,
    peer: Party,
    bundle: Bundle,
    *,
    setup_number: int,
    random: RandomBytes,
) -> tuple[SetupValues, SessionSecrets]:
    """A's side, with a bundle that `verify_bundle` passed. The ephemeral key is gone afterwards.

    Raises InvalidKey for a key of B that A7 refuses.
    """
    ephemeral = X25519PrekeyPair.generate(random)
    kem_secret, kem_ciphertext = ml_kem_768_encapsulate(bundle.kem.key)
    one_time = bundle.one_time
    values = SetupValues(
        account_id=local.account_id,
        device_id=local.device_id,
        manifest=own_manifest,
        peer_manifest=peer.manifest,
        setup_number=setup_number,
        signed_id=bundle.signed.key_id,
        one_time_id=None if one_time is None else one_time.key_id,
        kem_class=bundle.kem.key_class,
        kem_id=bundle.kem.key_id,
        ephemeral_public=ephemeral.public,
        kem_ciphertext=kem_ciphertext,
    )
    used = PrekeysUsed(
        bundle.signed.tagged(), None if one_time is None else one_time.tagged(), bundle.kem.tagged()
    )
    exchanges: tuple[bytes, ...] = (
        local.identity.exchange(bundle.signed.key),
        ephemeral.exchange(peer.identity_public),
        ephemeral.exchange(bundle.signed.key),
    )
    if one_time is not None:
        exchanges = (*exchanges, ephemeral.exchange(one_time.key))
    agreed = session_transcript(Party.local(local, own_manifest), peer, values, used)
    return values, derive_secrets(agreed, exchanges, kem_secret)


def respond(
    local: LocalDevice,
    peer: Party,
    values: SetupValues,
    *,
    signed: LocalPrekey,
    one_time: LocalPrekey | None,
    kem: LocalPrekey,
) -> SessionSecrets:
    """B's side, with its own private keys that `values` name and A's entry in a verified manifest.

    Raises InvalidKey for keys in the wrong place or a key of A that A7 refuses. A wrong ML-KEM ciphertext raises
    nothing: its random secret shows when the first message does not open.
    """
    signed_pair = _x25519_pair(signed, KeyKind.SIGNED, values.signed_id)
    one_time_pair = None
    if (one_time is None) != (values.one_time_id is None):
        raise InvalidKey("the set-up and its one-time key do not belong together")
    if one_time is not None and values.one_time_id is not None:
        one_time_pair = _x25519_pair(one_time, KeyKind.ONE_TIME, values.one_time_id)
    kem_named = kem.kind is KeyKind.KEM and kem.key_class is values.kem_class and kem.key_id == values.kem_id
    if not kem_named or not isinstance(kem.secret, KemPrivateKey):
        raise InvalidKey("the set-up names another ML-KEM key or class")
    if (peer.account_id, peer.device_id, peer.manifest) != (
        values.account_id,
        values.device_id,
        values.manifest,
    ):
        raise InvalidKey("the set-up names another device or manifest")
    ephemeral = values.ephemeral_public
    exchanges: tuple[bytes, ...] = (
        x25519(signed_pair.private, peer.identity_public),
        local.identity.exchange(ephemeral),
        signed_pair.exchange(ephemeral),
    )
    if one_time_pair is not None:
        exchanges = (*exchanges, one_time_pair.exchange(ephemeral))
    used = PrekeysUsed(_tagged(signed), None if one_time is None else _tagged(one_time), _tagged(kem))
    agreed = session_transcript(peer, Party.local(local, values.peer_manifest), values, used)
    return derive_secrets(agreed, exchanges, kem.secret.decapsulate(values.kem_ciphertext))


def _x25519_pair(key: LocalPrekey, kind: KeyKind, key_id: int) -> X25519PrekeyPair:
    if key.kind is not kind or key.key_id != key_id or not isinstance(key.secret, X25519PrekeyPair):
        raise InvalidKey(f"the set-up names another key of kind {kind.name}")
    return key.secret


def _tagged(key: LocalPrekey) -> bytes:
    return tagged_key(key.kind, key.key_class, key.key_id, key.secret.public_bytes())
