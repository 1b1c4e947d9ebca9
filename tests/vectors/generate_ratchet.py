"""Writes ratchet.json and snapshots.json: whole conversations with every random byte and intermediate value.

    python -m tests.vectors.generate_ratchet

Everything is derived from fixed seeds, but for ML-KEM encapsulations, which the library makes with randomness of its
own; those already in the file are used again, so that running this twice changes nothing.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from crypto import root_chain
from crypto.chains import SessionSecrets, body_key, chain_step
from crypto.double_ratchet import decrypt, encrypt
from crypto.errors import CryptoError
from crypto.headers import (
    ENVELOPE_START,
    HAS_KEM_OFFER,
    HeaderKey,
    block_length,
    seal_block,
    seal_header,
)
from crypto.limits import DAY_MS
from crypto.padding import pad
from crypto.primitives import aes256gcm_seal, ml_kem_768_encapsulate, x25519, x25519_keypair
from crypto.ratchet_state import AssociatedData, RatchetState, start_initiator, start_responder
from crypto.snapshots import decode_state, encode_state
from crypto.transcript import u32

FOLDER = Path(__file__).parent
RATCHET, SNAPSHOTS = FOLDER / "ratchet.json", FOLDER / "snapshots.json"
JsonObject = dict[str, Any]


class RecordedBytes:
    """Deterministic randomness that remembers what it gave."""

    def __init__(self, seed: bytes) -> None:
        self.seed, self.calls, self.given = seed, 0, list[bytes]()

    def __call__(self, count: int) -> bytes:
        self.calls += 1
        given = hashlib.shake_256(self.seed + u32(self.calls)).digest(count)
        self.given.append(given)
        return given


def recorded_encapsulations() -> dict[str, tuple[str, str]]:
    """(Shared secret, ciphertext) by offered key, from the file as it is."""
    if not RATCHET.exists():
        return {}
    steps = json.loads(RATCHET.read_text())["steps"]
    return {
        step["encapsulation"]["offer"]: (
            step["encapsulation"]["shared_secret"],
            step["encapsulation"]["ciphertext"],
        )
        for step in steps
        if "encapsulation" in step
    }


@dataclass
class Conversation:
    """Two ends and the steps that were taken so far."""

    states: dict[str, RatchetState]
    ads: dict[str, AssociatedData]
    random: dict[str, RecordedBytes]
    known: dict[str, tuple[str, str]]
    now_ms: int = 0
    steps: list[JsonObject] = field(default_factory=list)

    def send(self, who: str, plaintext: bytes, *, ephemeral: bool = False) -> int:
        """Send and record; gives the index of the step."""
        before, random = self.states[who], self.random[who]
        random.given.clear()
        encapsulations: list[tuple[bytes, bytes, bytes]] = []

        def encapsulate(offer: bytes) -> tuple[bytes, bytes]:
            if (known := self.known.get(offer.hex())) is not None:
                secret, ciphertext = map(bytes.fromhex, known)
            else:
                secret, ciphertext = ml_kem_768_encapsulate(offer)
            encapsulations.append((offer, secret, ciphertext))
            return secret, ciphertext

        with replaced(root_chain, "ml_kem_768_encapsulate", encapsulate):
            after, envelope = encrypt(
                before, plaintext, self.ads[who], random, self.now_ms, ephemeral=ephemeral
            )
        self.states[who] = after
        step: JsonObject = {
            "action": "send",
            "from": who,
            "now_ms": self.now_ms,
            "plaintext": plaintext.hex(),
            "ephemeral": ephemeral,
            "random": [each.hex() for each in random.given],
        }
        for offer, secret, ciphertext in encapsulations:
            step["encapsulation"] = {
                "offer": offer.hex(),
                "shared_secret": secret.hex(),
                "ciphertext": ciphertext.hex(),
            }
        shared_secret = encapsulations[0][1] if encapsulations else b""
        step["intermediate"] = self.intermediate(before, after, envelope, who, ephemeral, shared_secret)
        step["envelope"] = envelope.hex()
        self.steps.append(step)
        return len(self.steps) - 1

    def intermediate(
        self,
        before: RatchetState,
        after: RatchetState,
        envelope: bytes,
        who: str,
        ephemeral: bool,
        shared_secret: bytes,
    ) -> JsonObject:
        chain = after.sending
        assert chain is not None
        opening = chain.opening
        header_key = opening.header_key
        body_at = 78 + block_length(opening.kem_flags)
        values: JsonObject = {
            "root_key": after.root.root_key.hex(),
            "next_sending_header_keys": keys_of(after.root.next_sending),
            "header_keys": keys_of(header_key),
            "ratchet_public": opening.ratchet_public.hex(),
            "previous_length": opening.previous_length,
            "number": (chain.ephemeral_number if ephemeral else chain.number) - 1,
            "flags": opening.kem_flags | (4 if ephemeral else 0),
            "kem_block": opening.kem_block.hex(),
            "associated_data": (self.ads[who].start + u32(body_at) + envelope[:body_at]).hex(),
            "next_chain_key": chain.chain_key.hex(),
        }
        if before.sending is not None:
            chain_key = before.sending.chain_key
        else:
            dh = x25519(after.root.own_private, before.root.peer_public)
            root_key, chain_key, _ = root_chain.root_step(before.root.root_key, dh, shared_secret)
            assert root_key == after.root.root_key
            values |= {"root_key_before": before.root.root_key.hex(), "dh": dh.hex()}
            values["ephemeral_key"] = opening.ephemeral_key.hex()
        values["chain_key"] = chain_key.hex()
        if not ephemeral:
            message_key = chain_step(chain_key)[0]
            key, nonce = body_key(message_key)
            values |= {"message_key": message_key.hex(), "body_key": key.hex(), "body_nonce": nonce.hex()}
        return values

    def receive(self, who: str, step: int) -> None:
        """Open the envelope of an earlier step."""
        envelope = bytes.fromhex(self.steps[step]["envelope"])
        self.states[who], plaintext, info = decrypt(
            self.states[who], envelope, self.ads[who].reversed(), self.now_ms
        )
        assert plaintext.hex() == self.steps[step]["plaintext"]
        self.steps.append(
            {
                "action": "receive",
                "by": who,
                "step": step,
                "now_ms": self.now_ms,
                "opened_chain": info.opened_chain,
                "kem_step": info.kem_step,
                "root_key": self.states[who].root.root_key.hex(),
            }
        )

    def fail(self, who: str, name: str, envelope: bytes, error: str) -> None:
        """Record an envelope that must be refused at this point, with the kind of failure."""
        with pytest.raises(CryptoError) as caught:
            decrypt(self.states[who], envelope, self.ads[who].reversed(), self.now_ms)
        assert type(caught.value).__name__ == error, name
        self.steps.append(
            {"action": "must_fail", "by": who, "name": name, "now_ms": self.now_ms, "error": error}
            | {"envelope": envelope.hex()}
        )

    def envelope(self, step: int) -> bytes:
        return bytes.fromhex(self.steps[step]["envelope"])


class replaced:  # noqa: N801 - reads as a word in a with statement
    """One attribute of a module, replaced for the time of a with block."""

    def __init__(self, module: Any, name: str, value: Callable[..., Any]) -> None:
        self.module, self.name, self.value, self.old = module, name, value, getattr(module, name)

    def __enter__(self) -> None:
        setattr(self.module, self.name, self.value)

    def __exit__(self, *_: object) -> None:
        setattr(self.module, self.name, self.old)


def keys_of(key: HeaderKey) -> JsonObject:
    return {"header": key.headers.key_bytes.hex(), "block": key.blocks.key_bytes.hex()}


def flipped(envelope: bytes, position: int) -> bytes:
    return envelope[:position] + bytes((envelope[position] ^ 1,)) + envelope[position + 1 :]


def authentic(
    talk: Conversation, who: str, number: int, flags: int = 0, padded: bytes = b"", cut: int = 256
) -> bytes:
    """An envelope that only the holder of the sender's state can make, with any number, flags and padding."""
    chain = talk.states[who].sending
    assert chain is not None
    key, nonce = chain.opening.header_key, bytes(11) + bytes((number % 256,))
    sealed = seal_header(
        key, nonce, chain.opening.ratchet_public, chain.opening.previous_length, number, flags
    )
    block = seal_block(key, nonce, chain.opening.kem_block)
    before_body = ENVELOPE_START + nonce + sealed + block
    body = bytes(cut - len(before_body))
    if padded:
        aes_key, body_nonce = body_key(chain_step(chain.chain_key)[0])
        body = aes256gcm_seal(
            aes_key, body_nonce, padded, talk.ads[who].start + u32(len(before_body)) + before_body
        )
    return before_body + body


def start() -> tuple[Conversation, JsonObject]:
    random = RecordedBytes(b"tokenim ratchet vectors: set-up")
    secrets = SessionSecrets(random(32), random(32), random(32), random(32))
    private, public = x25519_keypair(random(32))
    ad = AssociatedData(secrets.session_id, random(32), random(16), random(32), random(16))
    talk = Conversation(
        states={"a": start_initiator(secrets, public, 0), "b": start_responder(secrets, private, 0)},
        ads={"a": ad, "b": ad.reversed()},
        random={
            "a": RecordedBytes(b"tokenim ratchet vectors: a"),
            "b": RecordedBytes(b"tokenim ratchet vectors: b"),
        },
        known=recorded_encapsulations(),
    )
    return talk, {
        "session_id": secrets.session_id.hex(),
        "root_key": secrets.root_key.hex(),
        "header_key_a": secrets.header_key_a.hex(),
        "next_header_key_b": secrets.next_header_key_b.hex(),
        "signed_prekey_private": private.hex(),
        "signed_prekey_public": public.hex(),
        "account_a": ad.sender_account.hex(),
        "device_a": ad.sender_device.hex(),
        "account_b": ad.recipient_account.hex(),
        "device_b": ad.recipient_device.hex(),
    }


def converse(talk: Conversation) -> None:
    """A conversation with loss, reordering, ephemeral messages, a post-quantum step, and what must be refused."""
    first = talk.send("a", b"hello")
    lost = talk.send("a", b"comes late")
    talk.fail("b", "a byte of the nonce changed", flipped(talk.envelope(first), 5), "Undecryptable")
    talk.fail("b", "a byte of the header changed", flipped(talk.envelope(first), 20), "Undecryptable")
    talk.fail("b", "a byte of the body changed", flipped(talk.envelope(first), 200), "Undecryptable")
    talk.fail("b", "another kind", b"\x03" + talk.envelope(first)[1:], "InvalidEncoding")
    talk.fail("b", "another suite", b"\x02\x02" + talk.envelope(first)[2:], "InvalidEncoding")
    talk.fail("b", "no bucket size", talk.envelope(first) + b"\0", "InvalidEncoding")
    talk.receive("b", first)
    talk.fail("b", "the same envelope again", talk.envelope(first), "Replayed")
    talk.fail("b", "used number, other envelope", authentic(talk, "a", 0), "CopiedState")
    talk.fail("b", "too far ahead", authentic(talk, "a", 10_002), "TooFarAhead")
    talk.fail("b", "the largest number", authentic(talk, "a", 2**32 - 1), "TooFarAhead")
    talk.fail("b", "unknown flag", authentic(talk, "a", 2, flags=8), "InvalidEncoding")
    talk.fail(
        "b", "flags promise a block beyond the end", authentic(talk, "a", 2, HAS_KEM_OFFER), "InvalidEncoding"
    )
    dirty = pad(b"text", 256 - 78 - 16)[:-1] + b"\x01"
    talk.fail("b", "padding that is not zeros", authentic(talk, "a", 2, padded=dirty), "InvalidEncoding")
    long = b"\xff\xff\xff\xff" + bytes(256 - 78 - 16 - 4)
    talk.fail("b", "length beyond the end", authentic(talk, "a", 2, padded=long), "InvalidEncoding")
    talk.receive("a", talk.send("b", b"hello too"))
    typing = talk.send("a", b"typing", ephemeral=True)
    newer = talk.send("a", b"typing", ephemeral=True)
    talk.receive("b", newer)
    talk.fail("b", "ephemeral counter that does not rise", talk.envelope(typing), "Replayed")
    talk.receive("b", lost)
    talk.fail("b", "a late message again", talk.envelope(lost), "Replayed")
    talk.receive("b", talk.send("a", b"x" * 1_000))
    talk.now_ms = DAY_MS  # the last post-quantum step, the set-up, is a day old: the next chain offers one
    talk.receive("a", talk.send("b", b"with an offer"))
    second = talk.send("b", b"the offer rides on every message")
    answer = talk.send("a", b"with the ciphertext")
    talk.fail("b", "a byte of the KEM block changed", flipped(talk.envelope(answer), 500), "Undecryptable")
    talk.receive("b", talk.send("a", b"so does the ciphertext"))
    talk.receive("b", answer)
    talk.receive("a", second)
    talk.receive("a", talk.send("b", b"healed"))
    for number in range(18):  # the 20th root step after a post-quantum step offers the next one
        talk.receive(*(("b", talk.send("a", b"turn")) if number % 2 == 0 else ("a", talk.send("b", b"turn"))))
    talk.receive("b", talk.send("a", b"turn"))
    talk.receive("a", talk.send("b", b"turn"))
    talk.receive("b", talk.send("a", b"and on"))


def write(path: Path, content: JsonObject) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


def main() -> None:
    """Write both files; the snapshots of version 1 are kept as they are once they exist."""
    talk, set_up = start()
    converse(talk)
    write(
        RATCHET,
        {
            "about": "docs/protocol.md, chapters Envelopes and padding, Ratchet, Post-quantum steps, Ephemeral messages;"
            " bytes in hexadecimal; made by tests/vectors/generate_ratchet.py",
            "set_up": set_up,
            "steps": talk.steps,
        },
    )
    if not SNAPSHOTS.exists():
        waiting = talk.send("a", b"waiting for the restored state")
        write(
            SNAPSHOTS,
            {
                "about": "ratchet states as earlier builds saved them; every later build must read them",
                "ad_of_b": {
                    name: getattr(talk.ads["a"], name).hex()
                    for name in (
                        "session_id",
                        "sender_account",
                        "sender_device",
                        "recipient_account",
                        "recipient_device",
                    )
                },
                "snapshots": [
                    {
                        "version": 1,
                        "snapshot": encode_state(decode_state(encode_state(talk.states["b"]))).hex(),
                        "opens": talk.steps[waiting]["envelope"],
                        "plaintext": talk.steps[waiting]["plaintext"],
                    }
                ],
            },
        )


if __name__ == "__main__":
    main()
