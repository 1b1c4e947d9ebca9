"""The kit's own peer: an account of the scripted relay that speaks docs/protocol.md, and judges what a client writes to it.

Two clients of one make agree on anything. This one computes after the document, with no code of a client, so it opens what a
client wrote only if that client does what the document says. It has no connection: the relay's mailboxes are at hand.
"""

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from nacl.signing import SigningKey

from client.conformance.report import Failed
from client.conformance.wire import from_base64, sha256, to_base64, transcript, u64

from . import checks
from .doors import hand_out
from .house import Account
from .merkle import inclusion_of
from .peer_contents import Content, FilePointer, Numbering, Written, conversation, written
from .peer_keys import KemPair, Pair, SealingPair, encapsulate
from .peer_ratchet import Party, Ratchet
from .peer_setup import (
    SETUP,
    Agreed,
    Key,
    Listed,
    Values,
    agreements_of_a,
    agreements_of_b,
    open_setup,
    seal_setup,
    signed_manifest,
)
from .person import Person
from .setting import Setting

NAME: Final = "peer"
SIGNED, KEM, ONE_TIME, SEALING = 1, 2, 3, 4
ROTATING, ONCE, LAST_RESORT = 1, 2, 3
_MANAGER: Final = 1
_PUBLIC_AT: Final = 78


def _same(told: Any) -> Any:
    return told


@dataclass(frozen=True)
class Setup:
    """One of ours that no answer was opened in: `sealing` is the client's key, `values` are on each of its envelopes."""

    sealing: Key
    values: bytes


@dataclass
class Session:
    """The one with the client. `values` are those of a set-up that the client began, `setup` is one of ours."""

    ratchet: Ratchet
    values: bytes = b""
    setup: Setup | None = None
    is_answered: bool = False
    """The client has shown what we wrote, so it sends no set-up envelopes any more."""


@dataclass
class Peer:
    """The account `peer` of a case, which talks with one client that has an account. `texts`: what it opened, in order."""

    setting: Setting
    person: Person
    has_one_time: bool = True
    """Whether the bundle of the peer has one-time keys."""
    root: SigningKey = field(default_factory=SigningKey.generate)
    signing: SigningKey = field(default_factory=SigningKey.generate)
    identity: Pair = field(default_factory=Pair)
    device_id: bytes = field(default_factory=lambda: os.urandom(16))
    token: bytes = field(default_factory=lambda: os.urandom(16))
    texts: list[str] = field(default_factory=list)
    files: list[FilePointer] = field(default_factory=list)
    introduced: tuple[bytes, str] | None = None
    """What the client last introduced itself by."""
    session: Session | None = None

    def __post_init__(self) -> None:
        self._signed: dict[int, Pair] = {1: Pair()}
        self._once: dict[int, Pair] = {1: Pair(), 2: Pair()} if self.has_one_time else {}
        self._kem: dict[int, tuple[int, KemPair]] = {1: (LAST_RESORT, KemPair())}
        if self.has_one_time:
            self._kem |= {2: (ONCE, KemPair()), 3: (ONCE, KemPair())}
        self._sealing: dict[int, SealingPair] = {1: SealingPair()}
        self.account, self.theirs = self._registered(), self.setting.account(self.person)
        self.us, self.client = _listed(self.account), _listed(self.theirs)
        conversation_id = conversation(self.us.party.account_id, self.client.party.account_id)
        self._sent, self._got = Numbering(conversation_id), Numbering(conversation_id)
        self._written: dict[bytes, Written] = {}

    # The account, as it is at the relay.

    def _registered(self) -> Account:
        account_id = sha256(b"\x01" + bytes(self.root.verify_key))
        keys = bytes(self.signing.verify_key), self.identity.public
        signed = transcript("tokenim/v1 device", account_id, self.device_id, *keys)
        signature = self.signing.sign(signed).signature
        entry = self.device_id + b"".join(keys) + bytes((_MANAGER,)) + u64(checks.now_ms()) + signature
        body = transcript("tokenim/v1 manifest", bytes(self.root.verify_key), u64(1), None, entry)
        manifest = {
            "body": to_base64(body),
            "signer": "",
            "signature": to_base64(self.root.sign(body).signature),
        }
        house = self.setting.house
        public_token = to_base64(os.urandom(16))
        told = {"manifest": manifest, "invite": to_base64(house.secret)}
        account = house.register({**told, "handle": NAME, "public_token": public_token})
        account.tokens[sha256(self.token)] = "contact"
        self._publish(account)
        return account

    def _publish(self, account: Account) -> None:
        keys = [(SIGNED, ROTATING, key_id, pair.public) for key_id, pair in self._signed.items()]
        keys += [(SEALING, ROTATING, key_id, pair.public) for key_id, pair in self._sealing.items()]
        keys += [(KEM, key_class, key_id, pair.public) for key_id, (key_class, pair) in self._kem.items()]
        keys += [(ONE_TIME, ONCE, key_id, pair.public) for key_id, pair in self._once.items()]
        account_id = account.manifest.account_id
        for kind, key_class, key_id, public in keys:
            parts = bytes((kind,)), bytes((key_class,)), struct.pack(">I", key_id), u64(checks.now_ms())
            signed = transcript("tokenim/v1 prekey", account_id, self.device_id, *parts, public)
            encoded = b"".join(parts) + self.signing.sign(signed).signature + public
            account.prekeys.append(checks.prekey(encoded, account_id, account.device))
            account.highest[kind] = max(account.highest.get(kind, 0), key_id)

    # Writing.

    @property
    def ratchet(self) -> Ratchet:
        """Of the session; raises Failed if none has begun."""
        if self.session is None:
            raise Failed("no session has begun")
        return self.session.ratchet

    @cached_property
    def bundle(self) -> dict[str, Any]:
        """One of the client, as the relay gives it out to anybody."""
        return hand_out(self.theirs)

    @property
    def sealing(self) -> Key:
        """The sealing key of that bundle."""
        return _key(self.bundle["sealing_key"])

    def begin(self) -> None:
        """A session from a bundle of the client."""
        self.session = self._set_up()

    def _set_up(
        self, change: Callable[[Agreed], Agreed] = _same, pack: Callable[[bytes], bytes] = _same
    ) -> Session:
        bundle = self.bundle
        signed, kem = _key(bundle["signed_prekey"]), _key(bundle["kem_prekey"])
        once = _key(bundle["one_time_prekey"]) if bundle["one_time_prekey"] else None
        ephemeral, (kem_secret, ciphertext) = Pair(), encapsulate(kem.public)
        agreed = change(Agreed(self.us, self.client, 1, signed, once, kem, ephemeral.public, ciphertext))
        agreements = agreements_of_a(self.identity, ephemeral, self.client, signed, once)
        secrets = agreed.secrets(agreements, kem_secret)
        ratchet = Ratchet(secrets, self.us.party, self.client.party, signed=signed.public)
        return Session(ratchet, setup=Setup(self.sealing, pack(agreed.values())))

    def write(self, text: str) -> Written:
        """A text, into the client's mailbox."""
        message_id = os.urandom(16)
        content = self._sent.write(text, self._introduction(), message_id)
        self._send(content)
        message = written(self._sent.conversation_id, self.us.party, message_id, sha256(content))
        self._written[message_id] = message
        return message

    def _introduction(self) -> tuple[bytes, str] | None:
        is_unheard = self._sent.counter == 0 or self.introduced is None
        return (self.token, NAME) if is_unheard else None

    def write_file(self, pointer: FilePointer) -> None:
        """A file, whose blob is at the relay."""
        self._send(self._sent.write_file(pointer, self._introduction()))

    def edit(self, message: Written, text: str) -> None:
        """Another text for a message of ours."""
        self._send(self._sent.edit(message, text))

    def _send(self, content: bytes) -> None:
        if self.session is not None and self.session.setup is not None:
            self._put(self._setup_envelope(self.session.ratchet, self.session.setup, content))
        else:
            self._put(self.ratchet.seal(content))

    def _setup_envelope(self, ratchet: Ratchet, setup: Setup, content: bytes) -> bytes:
        message, to = ratchet.seal(content, bare=True), self.client.party
        manifests = [_signed_manifest(self.account)]
        return seal_setup(to, setup.sealing, setup.values, manifests, self._inclusion(), message)

    def write_odd(
        self, text: str, ratchet: Ratchet | None = None, numbering: dict[str, Any] | None = None, **odd: Any
    ) -> None:
        """A text to be refused, which so does not count: by another state of the ratchet, or as `Ratchet.seal` has it.

        `numbering`: by what its place in the conversation differs from the next one.
        """
        content = replace(self._sent, **numbering or {}).write(text, None)
        self._put((ratchet or self.ratchet).seal(content, **odd))

    def write_odd_setup(
        self, text: str, change: Callable[[Agreed], Agreed] = _same, pack: Callable[[bytes], bytes] = _same
    ) -> None:
        """A text by a set-up to be refused: `change` is in its keys, too, `pack` in the set-up values alone."""
        session = self._set_up(change, pack)
        content = replace(self._sent).write(text, (self.token, NAME))
        if session.setup is not None:
            self._put(self._setup_envelope(session.ratchet, session.setup, content))

    def give_keys(self, gifts: list[Any], newest: bytes) -> None:
        """Keys of a history archive, which are to be refused, so that the content does not count."""
        self._put(self.ratchet.seal(replace(self._sent).give_keys(gifts, newest)))

    def _put(self, envelope: bytes) -> None:
        self.theirs.mailbox.put(os.urandom(16), envelope)

    def _inclusion(self) -> bytes:
        house = self.setting.house
        index = house.log.index(house.manifest_leaf(self.account))
        hashes = inclusion_of(index, house.log.leaves)
        return u64(index) + bytes((len(hashes),)) + b"".join(hashes) + house.log.head(checks.now_ms())

    async def shown(self, *texts: str) -> None:
        """The client has acknowledged all that we wrote, and shows just these texts: raises Failed."""
        await self.setting.acked(self.person)
        shown = await self.person.texts()
        if shown != list(texts):
            raise Failed(f"the kit's peer wrote {list(texts)}, and {self.person.name} shows {shown}")
        if self.session is not None:
            self.session.is_answered = True

    # Reading.

    async def read(self, *texts: str) -> None:
        """All that comes of the client, opened, until so many texts came: raises Failed unless they are these."""
        begin, name = len(self.texts), self.person.name
        await self._read_until(lambda: len(self.texts) - begin >= len(texts))
        if self.texts[begin:] != list(texts):
            raise Failed(f"{name} was to write {list(texts)}, and the peer opened {self.texts[begin:]}")

    async def read_file(self) -> FilePointer:
        """The same until a file came."""
        begin = len(self.files)
        await self._read_until(lambda: len(self.files) > begin)
        return self.files[-1]

    async def _read_until(self, is_enough: Callable[[], bool]) -> None:
        box = self.account.mailbox
        while not is_enough():
            what = f"an envelope of {self.person.name} to the kit's peer"
            await self.setting.until(lambda: bool(box.waiting), what)
            for sequence in sorted(box.waiting):
                self._take(bytes(box.waiting.pop(sequence)[5]))

    def _take(self, envelope: bytes) -> None:
        is_setup = envelope[:2] == SETUP
        content = self._got.read(self._open_setup(envelope) if is_setup else self._open_message(envelope))
        self._look_at(content)
        if content.file is not None:
            self.files.append(content.file)
        if content.text is None:
            return
        if is_setup and self.session is not None and self.session.is_answered:
            raise Failed(
                "a text in a set-up envelope, and the client had opened an answer of the peer before"
            )
        self.texts.append(content.text)

    def _open_message(self, envelope: bytes) -> bytes:
        if self.session is None or not (self.session.is_answered or self.session.setup):
            raise Failed(
                "what a client writes before it has opened an answer of the peer is a set-up envelope"
            )
        content = self.session.ratchet.open(envelope)
        self.session.setup, self.session.is_answered = None, True
        return content

    def _open_setup(self, envelope: bytes) -> bytes:
        content = open_setup(envelope, self.us.party, self._sealing)
        values = content.values
        if (values.party, values.own, values.ours) != (self.client.party, self.client.named, self.us.named):
            raise Failed("set-up values name another device or manifest than the two that talk have")
        if content.manifests != [_signed_manifest(self.theirs)]:
            raise Failed(
                "a set-up envelope has the manifests of who writes, from the last by the root key on"
            )
        self._check_inclusion(content.inclusion)
        if self.session is None:
            self.session = self._accept(values)
        elif self.session.values != values.packed:
            raise Failed("a set-up envelope of another session than the one that is there")
        return self.session.ratchet.open(content.message, bare=True)

    def _accept(self, values: Values) -> Session:
        signed, once = self._signed.get(values.signed_id), self._once.get(values.once_id or 0)
        kem_class, kem = self._kem.get(values.kem_id, (0, None))
        if signed is None or kem is None or (once is None) != (values.once_id is None):
            raise Failed("set-up values name a prekey that the bundle had not")
        if (once is None) == self.has_one_time:
            raise Failed("the bundle had a one-time prekey, and the set-up uses none")
        if kem_class != values.kem_class:
            raise Failed(f"set-up values name class {values.kem_class} of a KEM prekey of class {kem_class}")
        if values.number != 1:
            raise Failed(f"the first set-up between two devices has number 1, not {values.number}")
        agreed = Agreed(
            self.client,
            self.us,
            values.number,
            Key(SIGNED, ROTATING, values.signed_id, signed.public),
            None if once is None else Key(ONE_TIME, ONCE, values.once_id or 0, once.public),
            Key(KEM, kem_class, values.kem_id, kem.public),
            values.ephemeral,
            values.ciphertext,
        )
        agreements = agreements_of_b(self.identity, signed, once, self.client.identity, values.ephemeral)
        secrets = agreed.secrets(agreements, kem.open(values.ciphertext))
        ratchet = Ratchet(secrets, self.us.party, self.client.party, signed=signed)
        return Session(ratchet, values=values.packed)

    def _check_inclusion(self, proof: bytes) -> None:
        """Of the client's manifest, if there is one: of this relay's log, so it cannot differ from what is known here."""
        if not proof:
            return
        house, at = self.setting.house, 9 + 32 * proof[8]
        index, head = int.from_bytes(proof[:8], "big"), proof[at:]
        checks.verify(bytes(house.key.verify_key), head[64:], head[:64], "the head in a set-up envelope")
        size = int.from_bytes(checks.fields_of("tokenim/v1 log head", head[64:])[1], "big")
        leaves = house.log.leaves[:size]
        hashes = b"".join(inclusion_of(index, leaves)) if index < size else b""
        if leaves[index : index + 1] != [house.manifest_leaf(self.theirs)] or proof[9:at] != hashes:
            raise Failed("the inclusion proof in a set-up envelope is not one of the client's manifest")

    def _look_at(self, content: Content) -> None:
        for author, message_id, reference in content.receipts:
            known = self._written.get(message_id)
            if known is None or (known.account_id, known.reference) != (author, reference):
                raise Failed("a receipt names no message of its author by the reference that it has")
        if content.introduction is None and self.introduced is None:
            raise Failed("the first content to an account introduces who writes")
        if content.introduction is not None:
            self.introduced = content.introduction
            token, handle = content.introduction
            is_known = self.setting.house.token_class(self.theirs, token) == "contact"
            if not is_known or handle not in ("", self.theirs.handle):
                raise Failed("an introduction has a contact token of the account, and its handle or none")
        told = struct.pack(">Q32sQ32s", *self.client.named, *self.us.named)
        if content.gossip and not content.gossip.startswith(told):
            raise Failed("the gossip of a content names other manifests than the two that talk have")


def _listed(account: Account) -> Listed:
    party = Party(account.manifest.account_id, account.device.device_id)
    return Listed(party, account.manifest.version, account.manifest.body, account.device.identity_key)


def _signed_manifest(account: Account) -> bytes:
    return signed_manifest(from_base64(account.told["signature"]), account.manifest.body)


def _key(encoded: str) -> Key:
    """Of a bundle; the relay has checked its signature and its sizes when it came."""
    data = from_base64(encoded)
    return Key(data[0], data[1], int.from_bytes(data[2:6], "big"), data[_PUBLIC_AT:])
