"""A device with all its sessions, a second time, from docs/protocol.md: "Opening", "Sessions", "Prekeys".

It does what a client does around the derivations, with lists and dictionaries; on any refusal nothing has changed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.oracle import manifests, prekeys, session_setup
from tests.oracle.manifests import Manifest
from tests.oracle.prekeys import KEM, ONE_TIME, SEALING, SIGNED, Prekey
from tests.oracle.ratchet import Oracle
from tests.oracle.refusals import Refused, require
from tests.oracle.session_setup import Side, Values

DAY_MS = 86_400_000
Draw = Callable[[int], bytes]


@dataclass
class Session:
    """One session with the peer device."""

    ratchet: Oracle
    number: int
    pending: tuple[Values, Prekey, int] | None = None
    archived_at_ms: int = 0

    @property
    def rank(self) -> tuple[int, bytes]:
        """The larger is active: a higher number, then the smaller id."""
        return self.number, bytes(255 - byte for byte in self.ratchet.session_id)


@dataclass
class Peer:
    """What is kept for one peer device."""

    active: Session | None = None
    archived: list[Session] = field(default_factory=list)
    highest: int = 0
    setups: dict[bytes, bytes] = field(default_factory=dict)  # session id by digest of the values
    seen: dict[tuple[int, int], int] = field(default_factory=dict)

    def all(self) -> list[Session]:
        return [self.active, *self.archived] if self.active else self.archived

    def place(self, session: Session, now_ms: int) -> None:
        both = [one for one in (self.active, session) if one]
        self.active = max(both, key=lambda one: one.rank)
        for one in both:
            if one is not self.active:
                one.archived_at_ms, one.pending = now_ms, None
                self.archived = [one, *self.archived][:5]
        self.highest = max(self.highest, session.number)


class OracleDevice:
    """A device: its keys, its account's chain, its prekeys, and its sessions."""

    def __init__(
        self, account: bytes, device: bytes, signing_seed: bytes, identity: bytes, draw: Draw
    ) -> None:
        self.account, self.device = account, device
        self.signing_seed, self.identity, self.draw = signing_seed, identity, draw
        self.chain: list[Manifest] = []
        self.prekeys: list[Prekey] = []
        self.peers: dict[tuple[bytes, bytes], Peer] = {}
        self.chains: dict[bytes, list[Manifest]] = {}
        self.root_steps = 20

    @property
    def me(self) -> tuple[bytes, bytes]:
        return self.account, self.device

    def make_prekeys(self, one_time: int, now_ms: int) -> list[Prekey]:
        """A rotating key of each kind, and this many one-time keys of both kinds; they are kept, and to be published."""
        owner, ids = (*self.me, self.signing_seed), dict.fromkeys(prekeys.CLASSES, 0)
        made = []
        wanted = [(SIGNED, 1, 32), (SEALING, 1, 32), (KEM, 3, 64)]
        for kind, key_class, size in wanted + [(KEM, 2, 64), (ONE_TIME, 2, 32)] * one_time:
            ids[kind] += 1
            made.append(prekeys.make(kind, key_class, ids[kind], now_ms, self.draw(size), owner))
        self.prekeys += made
        return made

    def find(self, kind: int, key_id: int) -> Prekey:
        found = [key for key in self.prekeys if (key.kind, key.key_id) == (kind, key_id)]
        require(found, "no such key", "Undecryptable")
        return found[0]

    def side(self) -> Side:
        newest = self.chain[-1]
        return Side(*self.me, newest.version, newest.hash, newest.devices[self.device].identity)

    def begin(self, account: bytes, device: bytes, encoded: list[bytes], now_ms: int) -> None:
        """A session, by a bundle, with a device of an account whose chain is known."""
        bundle = [prekeys.parse(key) for key in encoded]
        newest = self.chains[account][-1]
        entry, peer = newest.devices[device], self.peers.setdefault((account, device), Peer())
        keys = prekeys.check_bundle(bundle, (account, device, entry.signing), now_ms, peer.seen)
        theirs = Side(account, device, newest.version, newest.hash, entry.identity)
        count = peer.highest + 1
        values, secrets = session_setup.initiate(self.side(), self.identity, theirs, keys, count, self.draw)
        talk = Oracle(
            secrets,
            self.me,
            (account, device),
            prekey_public=keys[SIGNED].key,
            root_steps=self.root_steps,
            now_ms=now_ms,
        )
        peer.seen |= {(key.kind, key.key_class): key.made_at_ms for key in bundle}
        peer.place(Session(talk, count, (values, keys[SEALING], now_ms)), now_ms)

    def seal(self, to: tuple[bytes, bytes], content: bytes, now_ms: int, *, ephemeral: bool = False) -> bytes:
        peer = self.peers.get(to, Peer())
        session = peer.active
        if session is None:
            raise Refused("no session", "NoSession")
        if session.pending is None:
            return session.ratchet.seal(content, self.draw, now_ms, ephemeral=ephemeral)
        values, sealing, fetched_ms = session.pending
        require(now_ms <= fetched_ms + 7 * DAY_MS, "not answered", "SessionExpired")
        message = session.ratchet.seal(content, self.draw, now_ms, ephemeral=ephemeral, in_setup=True)
        first = max(
            at for at, one in enumerate(self.chain) if not one.signer and one.version <= values.version
        )
        listed = [one.encode() for one in self.chain[first:]][-64:]
        inside = session_setup.encode_content(values.encode(), listed, b"", message)
        return session_setup.wrap(inside, sealing, to, self.draw(64))

    def open(self, envelope: bytes, now_ms: int) -> tuple[tuple[bytes, bytes], bytes]:
        """(From which device, content)."""
        if envelope[:1] == b"\x01":
            return self.open_setup(envelope, now_ms)
        failure: Refused | None = None
        for key, peer in self.peers.items():
            for session in peer.all():
                try:
                    content = session.ratchet.open(envelope, now_ms)
                except Refused as refused:
                    failure = failure or (None if refused.kind == "Undecryptable" else refused)
                    continue
                session.pending = None
                return key, content
        raise failure or Refused("no session opens it", "Undecryptable")

    def open_setup(self, envelope: bytes, now_ms: int) -> tuple[tuple[bytes, bytes], bytes]:
        """The eight steps of "Opening"."""
        parts = session_setup.unwrap(envelope, self.prekeys, self.me)
        values = session_setup.parse_values(parts["values"])
        came = [manifests.parse(one) for one in parts["manifests"]]
        chain = manifests.verify_chain(values.account, self.chains.get(values.account, []), came)
        entry = manifests.device_of(chain, values.version, values.manifest_hash, values.device)
        key = values.account, values.device
        peer = self.peers.get(key, Peer())
        if values.digest in peer.setups:
            known = [one for one in peer.all() if one.ratchet.session_id == peer.setups[values.digest]]
            require(known, "its session is gone", "Replayed")
            content = known[0].ratchet.open(parts["message"], now_ms, in_setup=True)
            self.chains[values.account] = chain
            return key, content
        require(1 <= values.number <= peer.highest + 1_000, "set-up number", "Replayed")
        keys = {SIGNED: self.find(SIGNED, values.signed_id), KEM: self.find(KEM, values.kem_id)}
        if values.one_time_id is not None:
            keys[ONE_TIME] = self.find(ONE_TIME, values.one_time_id)
        a = Side(*key, values.version, values.manifest_hash, entry.identity)
        mine = Side(*self.me, values.peer_version, values.peer_hash, self.side().identity)
        secrets = session_setup.respond(values, a, mine, self.identity, keys)
        talk = Oracle(
            secrets,
            self.me,
            key,
            prekey_private=keys[SIGNED].seed,
            root_steps=self.root_steps,
            now_ms=now_ms,
        )
        content = talk.open(parts["message"], now_ms, in_setup=True)
        manifests.device_of(self.chain, values.peer_version, values.peer_hash, self.device)
        self.peers[key] = peer
        peer.place(Session(talk, values.number), now_ms)
        peer.setups[values.digest] = secrets["session_id"]
        self.chains[values.account] = chain
        used = [one for one in keys.values() if one.key_class == 2]
        self.prekeys = [one for one in self.prekeys if one not in used]
        return key, content
