"""A second ratchet, written from docs/protocol.md alone: naive, slow, and with no code of the `crypto` package.

It keeps everything in dictionaries, derives each thing anew, and works on a deep copy until a message has opened. It
is right where it is simple, so that the fast one can be compared with it; nobody should use it.
"""

import copy
import hashlib
import hmac
import math
from collections.abc import Callable, Sequence
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

OFFER, CIPHERTEXT, EPHEMERAL = 1, 2, 4
DAY_MS = 24 * 60 * 60 * 1_000


class Refused(Exception):
    """The envelope does not open; the state is as it was."""


def hkdf(salt: bytes, ikm: bytes, info: bytes, length: int) -> bytes:
    prk = hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest()
    blocks = [b""]
    while len(b"".join(blocks)) < length:
        blocks.append(hmac.new(prk, blocks[-1] + info + bytes([len(blocks)]), hashlib.sha256).digest())
    return b"".join(blocks)[:length]


def transcript(label: bytes, *fields: bytes) -> bytes:
    return label + b"\x01" + b"".join(len(field).to_bytes(4, "big") + field for field in fields)


def buckets() -> list[int]:
    """Every size an envelope can have, by trying them all."""
    sizes = {256, 512, 1_024}
    for length in range(1_025, 262_145):
        exponent = math.floor(math.log2(length))
        unit = 2 ** (exponent - (math.floor(math.log2(exponent)) + 1))
        sizes.add(-(-length // unit) * unit)
    return sorted(sizes)


BUCKETS = buckets()


def gcm_open(key: bytes, nonce: bytes, sealed: bytes, ad: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce, sealed, ad)
    except InvalidTag:
        raise Refused from None


def public_of(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def dh(private: bytes, public: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))


def header_keys(raw: bytes) -> tuple[bytes, bytes]:
    both = hkdf(b"", raw, b"tokenim/v1 header keys\0", 64)
    return both[:32], both[32:]


class Oracle:
    """One side of a session; `me` and `peer` are (account id, device id)."""

    def __init__(
        self,
        secrets: dict[str, bytes],
        me: tuple[bytes, bytes],
        peer: tuple[bytes, bytes],
        *,
        prekey_private: bytes = b"",
        prekey_public: bytes = b"",
        root_steps: int = 20,
    ) -> None:
        """The responder has the private prekey, the initiator the public one."""
        starts = bool(prekey_public)
        mine, theirs = header_keys(secrets["header_key_a"]), header_keys(secrets["next_header_key_b"])
        self.me, self.peer, self.session_id = me, peer, secrets["session_id"]
        self.root_steps = root_steps
        self.sizes: Sequence[int] = BUCKETS  # inside a set-up envelope every size is one
        self.s: dict[str, Any] = {
            "root": secrets["root_key"],
            "own": prekey_private,
            "theirs": prekey_public,
            "next_sending": mine if starts else theirs,
            "next_receiving": theirs if starts else mine,
            "sending": None,
            "sent_before": 0,
            "received": [],  # chains, the newest last
            "steps": 0,
            "kem_at": 0,
            "offer_private": None,
            "offer_to_answer": b"",
        }

    def root_step(self, secret: bytes, shared: bytes) -> tuple[bytes, tuple[bytes, bytes]]:
        label = b"tokenim/v1 root step with kem\0" if shared else b"tokenim/v1 root step\0"
        out = hkdf(self.s["root"], secret + shared, label, 96)
        self.s["root"] = out[:32]
        return out[32:64], header_keys(out[64:])

    def ad(self, sender: tuple[bytes, bytes], recipient: tuple[bytes, bytes], before: bytes) -> bytes:
        return transcript(b"tokenim/v1 message\0", self.session_id, *sender, *recipient, before)

    def open_sending_chain(self, draw: Callable[[int], bytes], now_ms: int) -> None:
        s = self.s
        s["own"] = draw(32)
        shared = ciphertext = b""
        if s["offer_to_answer"]:
            shared, ciphertext = MLKEM768PublicKey.from_public_bytes(s["offer_to_answer"]).encapsulate()
            s["offer_to_answer"] = b""
        keys = s["next_sending"]
        chain_key, s["next_sending"] = self.root_step(dh(s["own"], s["theirs"]), shared)
        s["steps"], s["kem_at"] = (0, now_ms) if shared else (s["steps"] + 1, s["kem_at"])
        offer = b""
        if s["steps"] >= self.root_steps or now_ms - s["kem_at"] >= DAY_MS:
            s["offer_private"] = MLKEM768PrivateKey.from_seed_bytes(draw(64))
            offer = s["offer_private"].public_key().public_bytes_raw()
        s["sending"] = {
            "keys": keys,
            "first": chain_key,
            "key": chain_key,
            "n": 0,
            "ephemeral_n": 0,
            "previous": s["sent_before"],
            "flags": (OFFER if offer else 0) | (CIPHERTEXT if ciphertext else 0),
            "block": offer + ciphertext,
        }

    def seal(
        self, content: bytes, draw: Callable[[int], bytes], now_ms: int, *, ephemeral: bool = False
    ) -> bytes:
        if self.s["sending"] is None:
            self.open_sending_chain(draw, now_ms)
        chain = self.s["sending"]
        nonce = draw(12)
        if ephemeral:
            key, body_nonce = hkdf(b"", chain["first"], b"tokenim/v1 ephemeral key\0", 32), nonce
            number, flags = chain["ephemeral_n"], chain["flags"] | EPHEMERAL
            chain["ephemeral_n"] += 1
        else:
            message_key = hmac.new(chain["key"], b"\x01", hashlib.sha256).digest()
            chain["key"] = hmac.new(chain["key"], b"\x02", hashlib.sha256).digest()
            derived = hkdf(b"", message_key, b"tokenim/v1 message keys\0", 44)
            key, body_nonce = derived[:32], derived[32:]
            number, flags = chain["n"], chain["flags"]
            chain["n"] += 1
        header = (
            public_of(self.s["own"])
            + chain["previous"].to_bytes(4, "big")
            + number.to_bytes(4, "big")
            + bytes([flags])
            + bytes(7)
        )
        before = b"\x02\x01" + nonce + AESGCM(chain["keys"][0]).encrypt(nonce, header, b"\x02\x01")
        if chain["block"]:
            before += AESGCM(chain["keys"][1]).encrypt(nonce, chain["block"], b"\x02\x01")
        size = next(size for size in self.sizes if size >= len(before) + 4 + len(content) + 16)
        padded = len(content).to_bytes(4, "big") + content
        padded += bytes(size - len(before) - 16 - len(padded))
        return before + AESGCM(key).encrypt(body_nonce, padded, self.ad(self.me, self.peer, before))

    def open(self, envelope: bytes, now_ms: int) -> bytes:
        saved = self.s
        self.s = {**saved, "received": copy.deepcopy(saved["received"])}
        try:
            return self.open_on_copy(envelope, now_ms)
        except Refused:
            self.s = saved
            raise

    def open_on_copy(self, envelope: bytes, now_ms: int) -> bytes:
        if len(envelope) not in self.sizes or envelope[:2] != b"\x02\x01":
            raise Refused
        nonce, sealed = envelope[2:14], envelope[14:78]
        for chain in [*self.s["received"], None]:
            keys = chain["keys"] if chain else self.s["next_receiving"]
            try:
                header = gcm_open(keys[0], nonce, sealed, b"\x02\x01")
            except Refused:
                continue
            break
        else:
            raise Refused
        ratchet, previous, number, flags = (
            header[:32],
            header[32:36],
            int.from_bytes(header[36:40], "big"),
            header[40],
        )
        if flags > 7 or header[41:] != bytes(7):
            raise Refused
        block_bytes = (1_184 if flags & OFFER else 0) + (1_088 if flags & CIPHERTEXT else 0)
        body_at = 78 + block_bytes + (16 if block_bytes else 0)
        if chain is None:
            block = gcm_open(keys[1], nonce, envelope[78:body_at], b"\x02\x01") if body_at > 78 else b""
            chain = self.open_receiving_chain(ratchet, int.from_bytes(previous, "big"), flags, block, now_ms)
        if ratchet != chain["ratchet"]:
            raise Refused
        if flags & EPHEMERAL:
            if number < chain["ephemeral_n"]:
                raise Refused
            chain["ephemeral_n"] = number + 1
            key, body_nonce = hkdf(b"", chain["first"], b"tokenim/v1 ephemeral key\0", 32), nonce
        else:
            derived = hkdf(b"", self.message_key(chain, number), b"tokenim/v1 message keys\0", 44)
            key, body_nonce = derived[:32], derived[32:]
        before, body = envelope[:body_at], envelope[body_at:]
        padded = gcm_open(key, body_nonce, body, self.ad(self.peer, self.me, before))
        length = int.from_bytes(padded[:4], "big")
        if 4 + length > len(padded) or any(padded[4 + length :]):
            raise Refused
        return padded[4 : 4 + length]

    def open_receiving_chain(
        self, ratchet: bytes, previous: int, flags: int, block: bytes, now_ms: int
    ) -> dict[str, Any]:
        s = self.s
        if s["sending"] is None and s["theirs"]:
            raise Refused
        offer, ciphertext = (block[:1_184], block[1_184:]) if flags & OFFER else (b"", block)
        if bool(ciphertext) != (s["offer_private"] is not None):
            raise Refused
        shared = s["offer_private"].decapsulate(ciphertext) if ciphertext else b""
        keys = s["next_receiving"]
        chain_key, s["next_receiving"] = self.root_step(dh(s["own"], ratchet), shared)
        s["steps"], s["kem_at"] = (0, now_ms) if shared else (s["steps"] + 1, s["kem_at"])
        s["offer_private"], s["offer_to_answer"], s["theirs"] = None, offer, ratchet
        s["sent_before"] = s["sending"]["n"] if s["sending"] else 0
        s["sending"] = None
        if s["received"]:
            s["received"][-1]["end"] = previous
        chain = {"keys": keys, "ratchet": ratchet, "first": chain_key, "key": chain_key}
        chain |= {"n": 0, "ephemeral_n": 0, "skipped": {}, "end": 2**32}
        s["received"] = [*s["received"], chain][-5:]
        return chain

    def message_key(self, chain: dict[str, Any], number: int) -> bytes:
        if number < chain["n"]:
            if number not in chain["skipped"]:
                raise Refused
            taken: bytes = chain["skipped"].pop(number)
            return taken
        if number >= chain["end"] or number - chain["n"] > 10_000:
            raise Refused
        for n in range(chain["n"], number + 1):
            chain["skipped"][n] = hmac.new(chain["key"], b"\x01", hashlib.sha256).digest()
            chain["key"] = hmac.new(chain["key"], b"\x02", hashlib.sha256).digest()
        chain["n"] = number + 1
        found: bytes = chain["skipped"].pop(number)
        return found
