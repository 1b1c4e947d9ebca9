"""A device of the product and one of the oracle behind one face, so that either can stand at either end.

Everything between them is bytes: manifests, bundles, envelopes, log entries, hand-outs. None where one refuses.
"""

from collections.abc import Callable

from crypto import sessions
from crypto.errors import ChainMissing, CommitRefused, CryptoError, ManifestGap, NoSession, NotEntitled
from crypto.group_changes import Change, encode_change
from crypto.group_epoch import EpochHandOut
from crypto.group_log import Welcome, join
from crypto.group_proposals import add, hand_outs, welcome
from crypto.group_rights import Role
from crypto.group_state import Setting
from crypto.manifest import SignedManifest
from crypto.manifest_chain import verify_chain
from crypto.prekeys import Bundle, SignedKey
from crypto.root_chain import KemSchedule
from crypto.sender_chains import ChainHandOut, SenderChains, accept_hand_out, hand_out
from crypto.session_start import start_session
from crypto.sessions import PeerSessions
from tests.crypto_people import NOW_MS, SeededRandom
from tests.group_people import GroupMember, Log, Town
from tests.oracle import ed25519, group_state, manifests, x25519
from tests.oracle.group_member import OracleMember
from tests.oracle.manifests import Device
from tests.oracle.prekeys import Prekey
from tests.oracle.refusals import Refused, Waiting
from tests.oracle.sessions import OracleDevice

Me = tuple[bytes, bytes]  # account id, device id
REFUSALS = (Refused, Waiting, CryptoError)


def or_none(call: Callable[[], bytes]) -> bytes | None:
    """What the call gives, or None if it refuses."""
    try:
        return call()
    except REFUSALS:
        return None


class ProductDevice:
    """`crypto`, as a client uses it."""

    def __init__(self, name: str, root_steps: int) -> None:
        self.town = Town()
        self.member = GroupMember(name, self.town)
        self.person = self.member.person
        self.person.refresh(NOW_MS, stock=2)
        self.me: Me = (self.person.account, self.person.device.device_id)
        self.manifest = self.person.manifest.newest.encode()
        self.schedule = KemSchedule(root_steps=root_steps)
        self.sessions: dict[Me, PeerSessions] = {}

    def bundle(self, one_time: bool) -> list[bytes]:
        return [key.encode() for key in self.person.relay.claim(one_time=one_time).all_keys()]

    def meet(self, peer: Me, manifest: bytes) -> None:
        """Learn of an account."""
        self.town.manifests[peer[0]] = verify_chain(peer[0], None, [SignedManifest.parse(manifest)])

    def begin(self, peer: Me, bundle: list[bytes], now_ms: int) -> None:
        self.sessions[peer] = start_session(
            self.sessions.get(peer) or PeerSessions(*peer),
            self.person.device,
            self.person.manifest,
            self.town.manifests[peer[0]],
            Bundle.of([SignedKey.parse(key) for key in bundle]),
            fetched_at_ms=now_ms,
            now_ms=now_ms,
            random=self.person.random,
        )

    def seal(self, peer: Me, content: bytes, now_ms: int, *, ephemeral: bool = False) -> bytes | None:
        try:
            self.sessions[peer], envelope = sessions.encrypt(
                self.sessions.get(peer) or PeerSessions(*peer),
                content,
                self.person.manifest,
                now_ms=now_ms,
                random=self.person.random,
                ephemeral=ephemeral,
                schedule=self.schedule,
            )
        except NoSession:
            return None
        return envelope

    def open(self, envelope: bytes, now_ms: int) -> bytes | None:
        """Through the test's client: it keys sessions by account, of which each has one device here."""
        person = self.person
        person.peers = {account: kept for (account, _), kept in self.sessions.items()}
        person.known = {account: one for account, one in self.town.manifests.items() if account != self.me[0]}
        content = or_none(lambda: person.receive(envelope, now_ms))
        self.sessions = {(kept.account_id, kept.device_id): kept for kept in person.peers.values()}
        return content

    # Groups

    def create(self, log: Log, members: list[tuple[bytes, Role]], settings: list[Setting]) -> None:
        self.member.begin(log, [], settings)
        if members:
            assert self.commit(log, [add(account, 1, role) for account, role in members]) == b""
            self.follow(log)

    def commit(self, log: Log, changes: list[Change], *, cut: bool = False) -> bytes | None:
        """The hand-out, empty if there is none; None if the rules forbid it."""
        try:
            proposal = self.member.prepare(changes, cut=cut)
        except (CommitRefused, NotEntitled, ManifestGap):
            return None
        assert self.member.append(log, proposal)
        return proposal.hand_out.encode() if proposal.hand_out else b""

    def follow(self, log: Log) -> None:
        self.member.catch_up(log)

    def learn(self, given: bytes) -> None:
        self.member.learn(EpochHandOut.parse(given))

    def secret_for(self, account: bytes) -> bytes | None:
        view = self.member.known
        try:
            told = hand_outs(view, account, since_epoch=view.state.epoch)
        except NotEntitled:
            return None
        return told[-1].encode() if told else None

    def welcome(self, account: bytes) -> bytes | None:
        return or_none(lambda: welcome(self.member.known, account).encode())

    def join(self, told: bytes) -> None:
        self.member.view, self.member.chain = join(Welcome.parse(told), self.me[0]), None

    def chain(self) -> bytes:
        return hand_out(self.member.fresh_chain()).encode()

    def accept(self, sender: Me, given: bytes) -> None:
        known = self.member.senders.get(sender[1]) or SenderChains(*sender)
        self.member.senders[sender[1]] = accept_hand_out(known, ChainHandOut.parse(given))

    def say(self, text: bytes) -> bytes | None:
        return or_none(lambda: self.member.send(text))

    def hear(self, envelope: bytes) -> bytes | None:
        return or_none(lambda: self.member.open(envelope)) if self.member.view else None

    @property
    def state(self) -> bytes:
        return self.member.known.state.encode()

    @property
    def epoch_secret(self) -> bytes | None:
        try:
            return self.member.known.keys.secret
        except ChainMissing:
            return None


class ReferenceDevice:
    """The oracle, as a client would use it."""

    def __init__(self, name: str, root_steps: int) -> None:
        draw = SeededRandom(f"reference {name}")
        root_seed, signing_seed, identity = draw(32), draw(32), draw(32)
        root = ed25519.public_of(root_seed)
        self.me: Me = (manifests.account_id(root), draw(16))
        public, signing = x25519.public_of(identity), ed25519.public_of(signing_seed)
        signed = ed25519.sign(signing_seed, manifests.device_transcript(*self.me, signing, public))
        entry = Device(self.me[1], signing, public, manifests.MANAGER, NOW_MS, signed)
        self.manifest = manifests.make(root, 1, b"", [entry], root_seed)
        self.end = OracleDevice(*self.me, signing_seed, identity, draw)
        self.end.root_steps = root_steps
        self.end.chain = [manifests.parse(self.manifest)]
        self.stock: list[Prekey] = []
        self.end.chains[self.me[0]] = self.end.chain
        self.member = OracleMember(*self.me, signing_seed, draw, self.end.chains)

    def bundle(self, one_time: bool) -> list[bytes]:
        self.stock = self.stock or self.end.make_prekeys(2, NOW_MS)
        left = [key for key in self.stock if key.key_class == 2]
        chosen = [key for key in self.stock if key.key_class == 1]
        for kind in (2, 3):
            of_kind = [key for key in left if key.kind == kind]
            if one_time and of_kind:
                chosen.append(of_kind[0])
                self.stock.remove(of_kind[0])
            elif kind == 2:
                chosen += [key for key in self.stock if key.key_class == 3]
        return [key.encode() for key in chosen]

    def meet(self, peer: Me, manifest: bytes) -> None:
        self.end.chains[peer[0]] = manifests.verify_chain(peer[0], [], [manifests.parse(manifest)])

    def begin(self, peer: Me, bundle: list[bytes], now_ms: int) -> None:
        self.end.begin(*peer, bundle, now_ms)

    def seal(self, peer: Me, content: bytes, now_ms: int, *, ephemeral: bool = False) -> bytes | None:
        return or_none(lambda: self.end.seal(peer, content, now_ms, ephemeral=ephemeral))

    def open(self, envelope: bytes, now_ms: int) -> bytes | None:
        return or_none(lambda: self.end.open(envelope, now_ms)[1])

    # Groups

    def create(self, log: Log, members: list[tuple[bytes, Role]], settings: list[Setting]) -> None:
        own = add(self.me[0], 1, Role.OWNER)
        changes = [own, *(add(account, 1, role) for account, role in members)]
        encoded = [encode_change(change) for change in changes] + [
            b"\x07"
            + bytes([len(one.name), one.critical])
            + len(one.value).to_bytes(2, "big")
            + one.name.encode()
            + one.value
            for one in settings
        ]
        assert log.append(0, self.member.create(encoded, NOW_MS))

    def commit(self, log: Log, changes: list[Change], *, cut: bool = False) -> bytes | None:
        try:
            entry, told = self.member.commit([encode_change(change) for change in changes], NOW_MS, cut=cut)
        except Refused:
            return None
        assert log.append(self.member.next_entry, entry)
        return told

    def follow(self, log: Log) -> None:
        try:
            while self.member.next_entry < len(log.entries):
                self.member.follow(log.entries[self.member.next_entry])
        except Waiting:
            return

    def learn(self, given: bytes) -> None:
        self.member.learn(given)

    def secret_for(self, account: bytes) -> bytes | None:
        return or_none(lambda: self.member.hand_out(account))

    def welcome(self, account: bytes) -> bytes | None:
        return or_none(lambda: self.member.welcome(account))

    def join(self, told: bytes) -> None:
        self.member.join(told)

    def chain(self) -> bytes:
        return self.member.chain_hand_out()

    def accept(self, sender: Me, given: bytes) -> None:
        self.member.accept(*sender, given)

    def say(self, text: bytes) -> bytes | None:
        return or_none(lambda: self.member.send(text))

    def hear(self, envelope: bytes) -> bytes | None:
        return or_none(lambda: self.member.open(envelope))

    @property
    def state(self) -> bytes:
        return group_state.encode_state(self.member.known)

    @property
    def epoch_secret(self) -> bytes | None:
        try:
            secret: bytes = self.member.keys["secret"]
        except Waiting:
            return None
        return secret


AnyDevice = ProductDevice | ReferenceDevice
