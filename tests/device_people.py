"""Accounts with several devices for tests of crypto: what clients do around sessions, with a disk that can be rolled back.

A `Household` publishes manifests; a `DeviceClient` knows those that it fetched. No relay between: who calls hands the
envelopes over. All randomness is seeded, but for that inside ML-KEM and HPKE.
"""

from dataclasses import dataclass, field

from crypto import limits, sessions
from crypto.errors import ManifestGap
from crypto.keys import LocalDevice, RootKeyPair, account_id
from crypto.local_prekeys import LocalPrekeys
from crypto.manifest import build_manifest, device_entry, sign_manifest
from crypto.manifest_chain import VerifiedManifest, verify_chain
from crypto.sealed_first_message import open_setup
from crypto.session_snapshots import decode_sessions, encode_sessions
from crypto.session_start import receive_setup, start_session
from crypto.sessions import PeerSessions
from tests.crypto_people import NOW_MS, SeededRandom, Stock

Key = tuple[bytes, bytes]  # account id, device id


class Household:
    """One account, and the newest manifest that the relay has of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.random = SeededRandom(name)
        self.root = RootKeyPair.generate(self.random)
        self.account = account_id(self.root.public)
        self.devices: list[DeviceClient] = []
        self.gone: list[DeviceClient] = []
        self.published: VerifiedManifest | None = None

    @property
    def newest(self) -> VerifiedManifest:
        assert self.published is not None
        return self.published

    def add(self) -> "DeviceClient":
        """A new device, in a new manifest."""
        device = DeviceClient(self, LocalDevice.generate(self.account, self.random))
        self.devices.append(device)
        self.publish()
        device.known[self.account] = self.newest
        device.save()
        return device

    def remove(self, device: "DeviceClient") -> None:
        self.devices.remove(device)
        self.gone.append(device)
        self.publish()

    def publish(self) -> None:
        before = self.published
        listed = [device_entry(device.local, added_at_ms=NOW_MS, manager=True) for device in self.devices]
        version, previous = (before.version + 1, before.hash) if before else (1, None)
        body = build_manifest(self.root.public, version, previous, listed)
        self.published = verify_chain(self.account, before, [sign_manifest(body, self.root)])


@dataclass
class Disk:
    """What a device has committed."""

    peers: dict[Key, bytes] = field(default_factory=dict)
    known: dict[bytes, VerifiedManifest] = field(default_factory=dict)
    prekeys: LocalPrekeys = field(default_factory=LocalPrekeys)
    shown: tuple[bytes, ...] = ()
    chains: dict[Key, int] = field(default_factory=dict)


class DeviceClient:
    """One device: its memory, and its disk."""

    def __init__(self, household: Household, local: LocalDevice) -> None:
        self.household, self.local = household, local
        self.key: Key = (household.account, local.device_id)
        self.random = SeededRandom(f"{household.name} {local.device_id.hex()}")
        self.stock, self.prekeys = Stock(), LocalPrekeys()
        missing = limits.ONE_TIME_STOCK - 2
        self.prekeys = self.prekeys.refresh(
            one_time_at_relay=missing, kem_at_relay=missing, now_ms=NOW_MS, random=self.random
        )
        keys = self.prekeys.to_upload(local)
        self.stock.append(keys)
        self.prekeys = self.prekeys.uploaded(keys, now_ms=NOW_MS)
        self.peers: dict[Key, PeerSessions] = {}
        self.known: dict[bytes, VerifiedManifest] = {}
        self.shown: list[bytes] = []
        self.chains: dict[Key, int] = {}
        """How many chains of each peer device were opened."""
        self.disk = Disk()

    # The disk

    def save(self) -> None:
        encoded = {key: encode_sessions(peer) for key, peer in self.peers.items()}
        self.disk = Disk(encoded, dict(self.known), self.prekeys, tuple(self.shown), dict(self.chains))

    def load(self, disk: Disk) -> None:
        """As after a crash, or as when somebody puts an old copy back."""
        self.disk = disk
        self.peers = {key: decode_sessions(snapshot, self.key) for key, snapshot in disk.peers.items()}
        self.known, self.prekeys, self.shown = dict(disk.known), disk.prekeys, list(disk.shown)
        self.chains = dict(disk.chains)

    # Manifests

    def learn(self, household: Household) -> None:
        """Fetch the account's newest manifest; devices that left it lose their sessions at once."""
        self.take(household.newest)

    def take(self, manifest: VerifiedManifest) -> None:
        self.known[manifest.account_id] = manifest
        listed = {device.device_id for device in manifest.manifest.devices}
        for key, peer in self.peers.items():
            if key[0] == manifest.account_id and key[1] not in listed:
                self.peers[key] = peer.without_sessions()

    def trusts(self, key: Key) -> bool:
        """Whether the newest manifest that it knows lists this device."""
        known = self.known.get(key[0])
        return known is not None and key[1] in {device.device_id for device in known.manifest.devices}

    # Messages

    def begin(self, peer: "DeviceClient", *, one_time: bool = True) -> None:
        """A new session, whether or not there is one."""
        kept = self.peers.get(peer.key) or PeerSessions(*peer.key)
        self.peers[peer.key] = start_session(
            kept,
            self.local,
            self.known[self.key[0]],
            self.known[peer.key[0]],
            peer.stock.claim(one_time=one_time),
            fetched_at_ms=NOW_MS,
            now_ms=NOW_MS,
            random=self.random,
        )

    def seal(self, peer: "DeviceClient", text: bytes) -> bytes:
        """The envelope; begins a session if there is none. Nothing is committed yet."""
        if peer.key not in self.peers or self.peers[peer.key].active is None:
            self.begin(peer)
        self.peers[peer.key], envelope = sessions.encrypt(
            self.peers[peer.key], text, self.known[self.key[0]], now_ms=NOW_MS, random=self.random
        )
        return envelope

    def open(self, envelope: bytes, fetch: "dict[bytes, Household]") -> tuple[Key, bytes]:
        """(Sender, text); nothing is committed yet, and on an error nothing changed but for manifests fetched."""
        if envelope[0] == 1:
            try:
                return self.open_setup(envelope)
            except ManifestGap:
                for household in fetch.values():
                    if household.account in self.known:
                        self.learn(household)
                return self.open_setup(envelope)
        located = sessions.locate_among(self.peers.items(), envelope)
        key, place = located or (self.key, None)
        result = sessions.receive(self.peers.get(key) or PeerSessions(*key), place, envelope, now_ms=NOW_MS)
        self.peers[key] = result.sessions
        self.chains[key] = self.chains.get(key, 0) + result.info.opened_chain
        return key, result.plaintext

    def open_setup(self, envelope: bytes) -> tuple[Key, bytes]:
        content = open_setup(envelope, self.prekeys, *self.key)
        key = content.values.account_id, content.values.device_id
        result = receive_setup(
            self.peers.get(key) or PeerSessions(*key),
            content,
            self.local,
            self.known[self.key[0]],
            self.known.get(key[0]),
            self.prekeys,
            own_is_current=False,
            now_ms=NOW_MS,
        )
        self.peers[key], self.prekeys = result.sessions, result.prekeys
        self.take(result.peer_manifest)
        self.chains[key] = self.chains.get(key, 0) + result.info.opened_chain
        return key, result.plaintext
