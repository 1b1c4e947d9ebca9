"""People for tests of crypto: a device with its account, manifest, prekeys and sessions, and no relay between.

`Person.send` and `Person.receive` do what a client does around the pure functions; all randomness is seeded, but
for that inside ML-KEM and HPKE, which the library draws itself.
"""

import hashlib
from dataclasses import dataclass, field

from crypto import limits, sessions
from crypto.keys import LocalDevice, RootKeyPair, account_id
from crypto.local_prekeys import LocalPrekeys
from crypto.manifest import SignedManifest, build_manifest, device_entry, sign_manifest
from crypto.manifest_chain import VerifiedManifest, verify_chain
from crypto.prekeys import Bundle, KeyClass, KeyKind, SignedKey
from crypto.primitives import RandomBytes
from crypto.ratchet_state import RatchetState
from crypto.sealed_first_message import open_setup
from crypto.session_start import SetupReceived, receive_setup, start_session
from crypto.sessions import PeerSessions

NOW_MS = 1_764_000_000_000


class SeededRandom:
    """A deterministic `RandomBytes`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0

    def __call__(self, length: int) -> bytes:
        self.calls += 1
        return hashlib.shake_256(f"tokenim tests, {self.name}, {self.calls}".encode()).digest(length)


@dataclass
class Stock:
    """What the relay holds of one device: the newest rotating keys, and one-time keys oldest first."""

    rotating: dict[tuple[KeyKind, KeyClass], SignedKey] = field(default_factory=dict)
    one_time: dict[KeyKind, list[SignedKey]] = field(default_factory=dict)

    def append(self, keys: tuple[SignedKey, ...]) -> None:
        for key in keys:
            if key.key_class is KeyClass.ONE_TIME:
                self.one_time.setdefault(key.kind, []).append(key)
            else:
                self.rotating[key.kind, key.key_class] = key

    def claim(self, *, one_time: bool = True) -> Bundle:
        keys = [
            self.rotating[KeyKind.SIGNED, KeyClass.ROTATING],
            self.rotating[KeyKind.SEALING, KeyClass.ROTATING],
        ]
        kem, x25519 = self.one_time.get(KeyKind.KEM, []), self.one_time.get(KeyKind.ONE_TIME, [])
        keys.append(kem.pop(0) if one_time and kem else self.rotating[KeyKind.KEM, KeyClass.LAST_RESORT])
        if one_time and x25519:
            keys.append(x25519.pop(0))
        return Bundle.of(keys)


class Person:
    """One account with one device, and everything that its client would store."""

    def __init__(
        self, name: str, now_ms: int = NOW_MS, *, stock: int | None = 3, random: RandomBytes | None = None
    ) -> None:
        """Without a stock it makes no prekeys at all."""
        self.name = name
        self.random = random or SeededRandom(name)
        self.root = RootKeyPair.generate(self.random)
        self.account = account_id(self.root.public)
        self.device = LocalDevice.generate(self.account, self.random)
        self.manifest = self.first_manifest(now_ms)
        self.prekeys = LocalPrekeys()
        self.relay = Stock()
        if stock is not None:
            self.refresh(now_ms, stock=stock)
        self.peers: dict[bytes, PeerSessions] = {}
        self.known: dict[bytes, VerifiedManifest] = {}
        self.chains_opened = 0

    def first_manifest(self, now_ms: int) -> VerifiedManifest:
        entry = device_entry(self.device, added_at_ms=now_ms, manager=True)
        body = build_manifest(self.root.public, 1, None, [entry])
        return verify_chain(self.account, None, [sign_manifest(body, self.root)])

    def refresh(self, now_ms: int, *, stock: int = 3) -> None:
        """Rotate, fill the stock to a handful instead of 100, upload."""
        missing = limits.ONE_TIME_STOCK - stock
        kem = len(self.relay.one_time.get(KeyKind.KEM, [])) + missing
        x25519 = len(self.relay.one_time.get(KeyKind.ONE_TIME, [])) + missing
        self.prekeys = self.prekeys.refresh(
            one_time_at_relay=x25519, kem_at_relay=kem, now_ms=now_ms, random=self.random
        )
        keys = self.prekeys.to_upload(self.device)
        self.relay.append(keys)
        self.prekeys = self.prekeys.uploaded(keys, now_ms=now_ms)

    def sessions_with(self, peer: "Person") -> PeerSessions:
        return self.peers.get(peer.account) or PeerSessions(peer.account, peer.device.device_id)

    def start(self, peer: "Person", now_ms: int = NOW_MS, *, bundle: Bundle | None = None) -> None:
        """Fetch a bundle and begin a session with it."""
        self.known.setdefault(peer.account, peer.manifest)
        self.peers[peer.account] = start_session(
            self.sessions_with(peer),
            self.device,
            self.manifest,
            self.known[peer.account],
            bundle or peer.relay.claim(),
            fetched_at_ms=now_ms,
            now_ms=now_ms,
            random=self.random,
        )

    def send(self, peer: "Person", plaintext: bytes, now_ms: int = NOW_MS) -> bytes:
        """The envelope, with the state stored that goes with it."""
        self.peers[peer.account], envelope = sessions.encrypt(
            self.sessions_with(peer), plaintext, self.manifest, now_ms=now_ms, random=self.random
        )
        return envelope

    def receive(self, envelope: bytes, now_ms: int = NOW_MS) -> bytes:
        """The plaintext, with all that changed stored; on an error nothing was."""
        if envelope[0] == 1:
            return self.receive_setup(envelope, now_ms).plaintext
        located = sessions.locate_among(self.peers.items(), envelope)
        account, place = located or (next(iter(self.peers), b""), None)
        peer = self.peers.get(account) or PeerSessions(b"", b"")
        result = sessions.receive(peer, place, envelope, now_ms=now_ms)
        self.peers[account] = result.sessions
        self.chains_opened += result.info.opened_chain
        return result.plaintext

    def receive_setup(self, envelope: bytes, now_ms: int = NOW_MS) -> SetupReceived:
        content = open_setup(envelope, self.prekeys, self.account, self.device.device_id)
        values = content.values
        peer = self.peers.get(values.account_id) or PeerSessions(values.account_id, values.device_id)
        result = receive_setup(
            peer,
            content,
            self.device,
            self.manifest,
            self.known.get(values.account_id),
            self.prekeys,
            own_is_current=True,
            now_ms=now_ms,
        )
        self.peers[values.account_id] = result.sessions
        self.prekeys = result.prekeys
        self.chains_opened += result.info.opened_chain
        self.known[values.account_id] = result.peer_manifest
        return result

    def active_id(self, peer: "Person") -> bytes:
        active = self.sessions_with(peer).active
        return b"" if active is None else active.facts.session_id

    def next_manifest(
        self, entries: list[LocalDevice], *, signer: LocalDevice | None = None, managers: bool = True
    ) -> SignedManifest:
        """The manifest after the present one, listing these devices; signed by the root key without a signer."""
        listed = [device_entry(device, added_at_ms=NOW_MS, manager=managers) for device in entries]
        body = build_manifest(self.root.public, self.manifest.version + 1, self.manifest.hash, listed)
        if signer is None:
            return sign_manifest(body, self.root)
        return sign_manifest(body, signer.signing, signer.device_id)


def ratchet_of(person: Person, peer: Person) -> RatchetState:
    """The active session's ratchet."""
    active = person.sessions_with(peer).active
    if active is None:
        raise LookupError(f"{person.name} has no session with {peer.name}")
    return active.ratchet
