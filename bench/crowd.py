"""Thousands who listen: devices with the least they need, registered at a relay, who come into a group by a link and hear.

Each has keys, a session with the sender and the sender's chains of its own, and opens everything that comes by them.
What is the same for all (the state of the group, read from its log) one of them follows for all; see `Crowd._follow`.
"""

import asyncio
import hashlib
import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
import msgspec
from nacl.signing import SigningKey

from client.contents import (
    MESSAGE_ID_BYTES,
    Content,
    ContentType,
    decode_content,
    decode_text,
    direct_conversation,
    encode_body,
    encode_content,
)
from client.groups import bodies
from client.groups.invitations import JoinBody
from client.groups.state_blobs import fetch_state
from client.logs import read_group_log
from client.system import this_machine
from client.transport import Transport
from client.trust import fetch_chain
from crypto.errors import CryptoError
from crypto.group_epoch import EpochHandOut, EpochKeys
from crypto.group_log import GroupView, Welcome, follow, join, learn_secret
from crypto.group_rights import EVERY_RIGHT
from crypto.group_state import GroupState, parse_state
from crypto.keys import LocalDevice, RootKeyPair, account_id
from crypto.manifest import build_manifest, device_entry, sign_manifest
from crypto.manifest_chain import VerifiedManifest, verify_chain
from crypto.prekeys import Bundle, SignedKey
from crypto.sender_chains import ChainHandOut, SenderChains, accept_hand_out
from crypto.sender_keys import KIND_GROUP, decrypt, find_header
from crypto.session_start import start_session
from crypto.sessions import PeerSessions, encrypt, locate, receive
from relay.wire.frames import (
    Accepted,
    Ack,
    CaughtUp,
    Deliver,
    EnvelopeClass,
    Grant,
    Outcome,
    Resume,
    Submit,
    Target,
)
from relay.wire.limits import DELIVERY_TOKEN_BYTES, ENVELOPE_ID_BYTES, NONCE_BYTES
from relay.wire.links import GroupLink, decode_bytes, encode_bytes, encode_id, parse_group, parse_invite
from tests.faults.wire_client import Device, connected, request

AT_ONCE = 32  # of them who talk with the relay at the same time
MESSAGE = "message"
_NAMES = {
    ContentType.GROUP_WELCOME: "welcome",
    ContentType.GROUP_SECRETS: "secret",
    ContentType.GROUP_CHAIN: "chain",
    ContentType.GROUP_TOKENS: "tokens",
    ContentType.GROUP_COMMIT: "commit told",
}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Listener:
    """One account with one device."""

    wire: Device
    local: LocalDevice
    own: VerifiedManifest
    sessions: PeerSessions
    """With the sender's device."""
    up_to: int = 0
    chains: SenderChains | None = None
    heard: Counter[str] = field(default_factory=Counter)
    """Text → how often."""
    held: list[bytes] = field(default_factory=list)
    """Group envelopes that came, and wait until the log is read."""


@dataclass
class Hearing:
    """What came to all that took their mail."""

    envelopes: Counter[str] = field(default_factory=Counter)
    """By kind."""
    size_bytes: int = 0
    unopened: Counter[str] = field(default_factory=Counter)
    """Why envelopes did not open."""
    read_by_who_is_out: int = 0


class Crowd:
    """All of them, on one relay and in one group."""

    def __init__(self, link: str) -> None:
        self._link: GroupLink = parse_group(link)
        self._sender_chain: VerifiedManifest | None = None
        self._listeners: list[Listener] = []
        self._view: GroupView | None = None
        self._read_token = b""
        """Of the log, in the epoch of `_read_epoch`."""
        self._read_epoch = 0
        self._states: dict[bytes, GroupState] = {}
        self._epochs_of_who_is_out: tuple[EpochKeys, ...] = ()
        self._stack = AsyncExitStack()
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0)
        self._http = await self._stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        self._transport = await self._stack.enter_async_context(Transport(self._link.origin, this_machine()))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    # Coming.

    async def come(self, invite: str, count: int) -> int:
        """So many new accounts ask to be let in; how many of their requests the relay took."""
        sender = self._link.inviter
        self._sender_chain = await fetch_chain(self._transport, sender, self._link.token, self._sender_chain)
        taken = 0
        for at in range(0, count, AT_ONCE):
            part = min(AT_ONCE, count - at)
            came = await asyncio.gather(*(self._register(invite) for _ in range(part)))
            taken += await self._ask(came)
            self._listeners += came
        return taken

    async def _register(self, invite: str) -> Listener:
        root = RootKeyPair.generate(os.urandom)
        account = account_id(root.public)
        local = LocalDevice.generate(account, os.urandom)
        entry = device_entry(local, added_at_ms=_now_ms(), manager=True)
        signed = sign_manifest(build_manifest(root.public, 1, None, [entry]), root)
        own = verify_chain(account, None, [signed])
        signing = SigningKey(local.signing.seed)
        wire = Device(self._link.origin, account, local.device_id, signing, os.urandom(DELIVERY_TOKEN_BYTES))
        manifest = {
            "body": encode_bytes(signed.body),
            "signer": "",
            "signature": encode_bytes(signed.signature),
        }
        body = {"invite": encode_bytes(parse_invite(invite).secret), "manifest": manifest}
        await request(self._http, "POST", "/v1/accounts", msgspec.json.encode(body), origin=wire.origin)
        token_hash = encode_bytes(hashlib.sha256(wire.token).digest())
        await self._call(wire, "/v1/delivery-tokens", {"token_hash": token_hash, "token_class": "group"})
        return Listener(wire, local, own, await self._session(wire, local, own))

    async def _call(self, wire: Device, target: str, body: object) -> Any:
        """A signed POST."""
        content = msgspec.json.encode(body)
        nonce = os.urandom(NONCE_BYTES)
        return await request(
            self._http, "POST", target, content, origin=wire.origin, device=wire, nonce=nonce
        )

    async def _session(self, wire: Device, local: LocalDevice, own: VerifiedManifest) -> PeerSessions:
        """A session with the sender's device, begun with the keys that the relay gives for it."""
        chain = self._known_sender
        target = f"/v1/accounts/{encode_id(chain.account_id)}/bundles"
        answer = await self._call(wire, target, {"token": encode_bytes(self._link.token)})
        (bundle,) = answer["bundles"]
        names = ("signed_prekey", "kem_prekey", "sealing_key", "one_time_prekey")
        keys = [SignedKey.parse(decode_bytes(bundle[name])) for name in names if bundle.get(name)]
        return start_session(
            PeerSessions(chain.account_id, chain.manifest.devices[0].device_id),
            local,
            own,
            chain,
            Bundle.of(keys),
            fetched_at_ms=_now_ms(),
            now_ms=_now_ms(),
            random=os.urandom,
        )

    @property
    def _known_sender(self) -> VerifiedManifest:
        if self._sender_chain is None:
            raise RuntimeError("nobody has come yet")
        return self._sender_chain

    async def _ask(self, listeners: Sequence[Listener]) -> int:
        """Submit their requests to be let in, together; how many were stored."""
        async with connected(self._http, self._link.origin) as socket:
            await socket.send([self._request(number, one) for number, one in enumerate(listeners, start=1)])
            answers = [await socket.receive() for _ in listeners]
        return sum(isinstance(one, Accepted) and one.outcomes == (Outcome.STORED,) for one in answers)

    def _request(self, number: int, one: Listener) -> Submit:
        account = one.local.account_id
        body = JoinBody(self._link.group_id, self._link.secret, one.wire.token, 1, EVERY_RIGHT)
        content = Content(
            type=ContentType.GROUP_JOIN,
            conversation_id=direct_conversation(account, self._link.inviter),
            message_id=os.urandom(MESSAGE_ID_BYTES),
            counter=1,
            previous_hash=b"",
            sent_at_ms=_now_ms(),
            expires_after_seconds=0,
            introduction=None,
            body=msgspec.Raw(encode_body(body)),
        )
        one.sessions, ciphertext = encrypt(
            one.sessions, encode_content(content), one.own, now_ms=_now_ms(), random=os.urandom
        )
        return Submit(
            number,
            os.urandom(ENVELOPE_ID_BYTES),
            EnvelopeClass.DURABLE,
            True,
            86_400,
            (ciphertext,),
            (Target(one.sessions.device_id, 0, 0),),
            (Grant(self._link.inviter, self._link.token, self._known_sender.version),),
        )

    # Hearing.

    async def take(self) -> Hearing:
        """All take their mailboxes, each over a connection of its own, and open what is there."""
        hearing = Hearing()

        async def one(listener: Listener) -> None:
            async with self._at_once:
                await self._drain(listener, hearing)

        await asyncio.gather(*map(one, self._listeners))
        await self._follow()
        for listener in self._listeners:
            held, listener.held = listener.held, []
            for envelope in held:
                self._hear(listener, envelope, hearing)
        return hearing

    async def _drain(self, listener: Listener, hearing: Hearing) -> None:
        async with connected(self._http, self._link.origin, listener.wire) as socket:
            await socket.send([Resume(listener.up_to)])
            while not isinstance(frame := await socket.receive(), CaughtUp):
                if not isinstance(frame, Deliver):
                    continue
                hearing.size_bytes += len(frame.ciphertext)
                if frame.ciphertext[0] == KIND_GROUP:
                    hearing.envelopes[MESSAGE] += 1
                    listener.held.append(frame.ciphertext)
                else:
                    await self._open(listener, frame.ciphertext, hearing)
                listener.up_to = frame.sequence
                if not socket.more_at_hand:
                    await socket.send([Ack(listener.up_to)])

    async def _open(self, listener: Listener, envelope: bytes, hearing: Hearing) -> None:
        """What the sender tells it in their session."""
        try:
            located = locate(listener.sessions, envelope)
            opened = receive(listener.sessions, located, envelope, now_ms=_now_ms())
            listener.sessions = opened.sessions
            content = decode_content(opened.plaintext)
            hearing.envelopes[_NAMES.get(content.type, str(content.type))] += 1
            await self._take_content(listener, content)
        except CryptoError as error:
            hearing.unopened[type(error).__name__] += 1

    async def _take_content(self, listener: Listener, content: Content) -> None:
        match content.type:
            case ContentType.GROUP_WELCOME:
                await self._welcome(listener, bodies.decode(content.body, bodies.WelcomeBody))
            case ContentType.GROUP_CHAIN:
                given = ChainHandOut.parse(bodies.decode(content.body, bodies.ChainBody).hand_out)
                peer = listener.sessions
                before = listener.chains or SenderChains(peer.account_id, peer.device_id)
                listener.chains = accept_hand_out(before, given)
            case ContentType.GROUP_SECRETS if self._view is not None:
                for hand_out in bodies.decode(content.body, bodies.SecretsBody).hand_outs:
                    self._view = learn_secret(self._view, EpochHandOut.parse(hand_out))

    async def _welcome(self, listener: Listener, body: bodies.WelcomeBody) -> None:
        """It has to fit its own parts and list the account. The first one is where the crowd begins to read."""
        digest = hashlib.sha256(body.state).digest() if body.blob is None else body.blob.ciphertext_sha256
        state = self._states.get(digest)
        if state is None:
            encoded = body.state if body.blob is None else await fetch_state(self._transport, body.blob)
            state = self._states[digest] = parse_state(encoded)
        welcome = Welcome(EpochHandOut.parse(body.hand_out), body.next_entry, state)
        view = join(welcome, listener.local.account_id)
        if self._view is None:
            self._view = view
            self._read_token, self._read_epoch = body.read_token, state.epoch

    async def _follow(self) -> None:
        """Read the log to its end, once for all: each of them would come to the same state and the same secrets."""
        while self._view is not None:
            view = self._view
            for given in view.waiting:
                if given.epoch > self._read_epoch:
                    self._read_token, self._read_epoch = given.keys().read_token, given.epoch
            group_id = view.state.group_id
            page = await read_group_log(self._transport, group_id, self._read_token, view.next_entry)
            for entry in page.entries:
                chains = {self._link.inviter: self._known_sender}
                self._view = follow(self._view, entry.index, entry.entry, chains).view
            if not page.entries:
                return

    def _hear(self, listener: Listener, envelope: bytes, hearing: Hearing) -> None:
        """A message to the group, by its own copy of the sender's chain."""
        view = self._view
        if find_header(self._epochs_of_who_is_out, envelope) is not None:
            hearing.read_by_who_is_out += 1
        header = None if view is None else find_header(view.epochs, envelope)
        if view is None or header is None or listener.chains is None:
            hearing.unopened["no key"] += 1
            return
        try:
            listener.chains, plaintext = decrypt(
                listener.chains, header, envelope, view.state, self._known_sender, _now_ms()
            )
            content = decode_content(plaintext)
        except CryptoError as error:
            hearing.unopened[type(error).__name__] += 1
            return
        if content.type == ContentType.TEXT:
            listener.heard[decode_text(content.body)] += 1

    # Counting.

    async def leave_behind(self) -> str:
        """The first who came is about to be removed: its account. From here on, all it knows is tried on each message."""
        if self._view is None:
            raise RuntimeError("nobody is in the group yet")
        self._epochs_of_who_is_out = self._view.epochs
        return encode_id(self._listeners[0].local.account_id)

    async def heard(self, text: str) -> tuple[int, int, int]:
        """How many heard this: once, more than once, not at all."""
        counts = Counter(min(one.heard[text], 2) for one in self._listeners)
        return counts[1], counts[2], counts[0]
