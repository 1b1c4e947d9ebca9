"""A second ratchet, written from docs/protocol.md alone: naive, slow, and with no code of the `crypto` package.

It keeps everything in dictionaries, derives each thing anew, and works on a deep copy until a message has opened. It
is right where it is simple, so that the fast one can be compared with it; nobody should use it.
"""

import copy
from collections.abc import Callable
from typing import Any

from tests.oracle import ml_kem, x25519
from tests.oracle.aes_gcm import gcm_open, gcm_seal
from tests.oracle.padding import BUCKETS, pad, unpad
from tests.oracle.refusals import Refused, require
from tests.oracle.transcripts import hkdf, hmac256, number, split, transcript, u32

OFFER, CIPHERTEXT, EPHEMERAL = 1, 2, 4
DAY_MS = 24 * 60 * 60 * 1_000
MAX_CHAINS, MAX_JUMP = 5, 10_000


def header_keys(raw: bytes) -> tuple[bytes, bytes]:
    """(AES key of headers, AES key of KEM blocks)."""
    both = hkdf(b"", raw, b"tokenim/v1 header keys\0", 64)
    return both[:32], both[32:]


def root_step(root: bytes, secret: bytes, shared: bytes) -> tuple[bytes, bytes, bytes]:
    """(Next root key, chain key, next header key)."""
    label = b"tokenim/v1 root step with kem\0" if shared else b"tokenim/v1 root step\0"
    root, chain, header = split(hkdf(root, secret + shared, label, 96), 32, 32, 32)
    return root, chain, header


def chain_step(chain_key: bytes) -> tuple[bytes, bytes]:
    """(Message key, next chain key)."""
    return hmac256(chain_key, b"\x01"), hmac256(chain_key, b"\x02")


def body_key(message_key: bytes) -> tuple[bytes, bytes]:
    """(AES key, nonce)."""
    derived = hkdf(b"", message_key, b"tokenim/v1 message keys\0", 44)
    return derived[:32], derived[32:]


def ephemeral_key(first_chain_key: bytes) -> bytes:
    return hkdf(b"", first_chain_key, b"tokenim/v1 ephemeral key\0", 32)


def encode_header(ratchet: bytes, previous: int, count: int, flags: int) -> bytes:
    return ratchet + u32(previous) + u32(count) + bytes([flags]) + bytes(7)


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
        now_ms: int = 0,
    ) -> None:
        """The responder has the private prekey, the initiator the public one; `now_ms` is when it began."""
        starts = bool(prekey_public)
        mine, theirs = header_keys(secrets["header_key_a"]), header_keys(secrets["next_header_key_b"])
        self.me, self.peer, self.session_id = me, peer, secrets["session_id"]
        self.root_steps = root_steps
        self.trace: dict[str, Any] = {}  # the intermediate values of the last message that was sealed
        self.encapsulations: dict[
            bytes, tuple[bytes, bytes]
        ] = {}  # those of vectors: SS and ciphertext by key
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
            "kem_at": now_ms,
            "offer_private": None,
            "offer_to_answer": b"",
        }

    def root_step(self, secret: bytes, shared: bytes) -> tuple[bytes, tuple[bytes, bytes]]:
        self.s["root"], chain_key, header_key = root_step(self.s["root"], secret, shared)
        return chain_key, header_keys(header_key)

    def ad(self, sender: tuple[bytes, bytes], recipient: tuple[bytes, bytes], before: bytes) -> bytes:
        return transcript(b"tokenim/v1 message\0", self.session_id, *sender, *recipient, before)

    def open_sending_chain(self, draw: Callable[[int], bytes], now_ms: int) -> None:
        s = self.s
        s["own"] = draw(32)
        shared = ciphertext = b""
        if s["offer_to_answer"]:
            known = self.encapsulations.get(s["offer_to_answer"])
            shared, ciphertext = known or ml_kem.encapsulate(s["offer_to_answer"], draw(32))
            s["offer_to_answer"] = b""
        keys, secret = s["next_sending"], x25519.agree(s["own"], s["theirs"])
        self.trace = {"root_key_before": s["root"], "dh": secret}
        chain_key, s["next_sending"] = self.root_step(secret, shared)
        s["steps"], s["kem_at"] = (0, now_ms) if shared else (s["steps"] + 1, s["kem_at"])
        offer = b""
        if s["steps"] >= self.root_steps or now_ms - s["kem_at"] >= DAY_MS:
            s["offer_private"] = draw(64)
            offer = ml_kem.public_of(s["offer_private"])
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
        self,
        content: bytes,
        draw: Callable[[int], bytes],
        now_ms: int,
        *,
        ephemeral: bool = False,
        in_setup: bool = False,
    ) -> bytes:
        """A ratchet message; one inside a set-up envelope is not padded."""
        self.trace = {}
        if self.s["sending"] is None:
            self.open_sending_chain(draw, now_ms)
        chain = self.s["sending"]
        nonce = draw(12)
        self.trace |= {"chain_key": chain["key"], "ephemeral_key": ephemeral_key(chain["first"])}
        if ephemeral:
            key, body_nonce = ephemeral_key(chain["first"]), nonce
            count, flags = chain["ephemeral_n"], chain["flags"] | EPHEMERAL
            chain["ephemeral_n"] += 1
        else:
            message_key, chain["key"] = chain_step(chain["key"])
            key, body_nonce = body_key(message_key)
            self.trace |= {"message_key": message_key, "body_key": key, "body_nonce": body_nonce}
            count, flags = chain["n"], chain["flags"]
            chain["n"] += 1
        public = x25519.public_of(self.s["own"])
        header = encode_header(public, chain["previous"], count, flags)
        before = b"\x02\x01" + nonce + gcm_seal(chain["keys"][0], nonce, header, b"\x02\x01")
        if chain["block"]:
            before += gcm_seal(chain["keys"][1], nonce, chain["block"], b"\x02\x01")
        padded = u32(len(content)) + content if in_setup else pad(content, len(before) + 16)
        ad = self.ad(self.me, self.peer, before)
        self.trace |= {"root_key": self.s["root"], "next_sending_header_keys": self.s["next_sending"]}
        self.trace |= {
            "header_keys": chain["keys"],
            "ratchet_public": public,
            "number": count,
            "flags": flags,
        }
        self.trace |= {"previous_length": chain["previous"], "kem_block": chain["block"]}
        self.trace |= {"associated_data": ad, "next_chain_key": chain["key"]}
        return before + gcm_seal(key, body_nonce, padded, ad)

    def open(self, envelope: bytes, now_ms: int, *, in_setup: bool = False) -> bytes:
        require(in_setup or len(envelope) in BUCKETS, "no bucket")
        saved = self.s
        self.s = {**saved, "received": copy.deepcopy(saved["received"])}
        try:
            return self.open_on_copy(envelope, now_ms)
        except Refused:
            self.s = saved
            raise

    def open_on_copy(self, envelope: bytes, now_ms: int) -> bytes:
        require(envelope[:2] == b"\x02\x01" and len(envelope) >= 14 + 64 + 4 + 16, "shape")
        nonce, sealed = envelope[2:14], envelope[14:78]
        for chain in [*self.s["received"], None]:
            keys = chain["keys"] if chain else self.s["next_receiving"]
            try:
                header = gcm_open(keys[0], nonce, sealed, b"\x02\x01")
            except Refused:
                continue
            break
        else:
            raise Refused("no key opens the header", "Undecryptable")
        ratchet, previous, count, flags, zeros = split(header, 32, 4, 4, 1, 7)
        require(flags[0] <= 7 and not any(zeros), "header")
        block_bytes = (1_184 if flags[0] & OFFER else 0) + (1_088 if flags[0] & CIPHERTEXT else 0)
        body_at = 78 + block_bytes + (16 if block_bytes else 0)
        require(body_at + 4 + 16 <= len(envelope), "a block beyond the end")
        if chain is None:
            block = gcm_open(keys[1], nonce, envelope[78:body_at], b"\x02\x01") if body_at > 78 else b""
            chain = self.open_receiving_chain(ratchet, number(previous), flags[0], block, now_ms)
        require(ratchet == chain["ratchet"], "ratchet key", "CopiedState")
        if flags[0] & EPHEMERAL:
            require(number(count) >= chain["ephemeral_n"], "late", "Replayed")
            chain["ephemeral_n"] = number(count) + 1
            key, body_nonce = ephemeral_key(chain["first"]), nonce
        else:
            key, body_nonce = body_key(self.message_key(chain, number(count), nonce[:8]))
        before, body = envelope[:body_at], envelope[body_at:]
        return unpad(gcm_open(key, body_nonce, body, self.ad(self.peer, self.me, before)))

    def open_receiving_chain(
        self, ratchet: bytes, previous: int, flags: int, block: bytes, now_ms: int
    ) -> dict[str, Any]:
        s = self.s
        require(s["sending"] or not s["theirs"], "two chains in a row")
        offer, ciphertext = (block[:1_184], block[1_184:]) if flags & OFFER else (b"", block)
        require(bool(ciphertext) == (s["offer_private"] is not None), "an answer to no offer, or none to one")
        if offer:
            ml_kem.check(offer)
        shared = ml_kem.decapsulate(s["offer_private"], ciphertext) if ciphertext else b""
        keys = s["next_receiving"]
        chain_key, s["next_receiving"] = self.root_step(x25519.agree(s["own"], ratchet), shared)
        s["steps"], s["kem_at"] = (0, now_ms) if shared else (s["steps"] + 1, s["kem_at"])
        s["offer_private"], s["offer_to_answer"], s["theirs"] = None, offer, ratchet
        s["sent_before"] = s["sending"]["n"] if s["sending"] else 0
        s["sending"] = None
        if s["received"]:
            require(previous >= s["received"][-1]["n"], "more has arrived", "CopiedState")
            s["received"][-1]["end"] = previous
        chain = {"keys": keys, "ratchet": ratchet, "first": chain_key, "key": chain_key}
        chain |= {"n": 0, "ephemeral_n": 0, "skipped": {}, "used": {}, "end": 2**32}
        s["received"] = [*s["received"], chain][-MAX_CHAINS:]
        return chain

    def message_key(self, chain: dict[str, Any], count: int, nonce: bytes) -> bytes:
        if count >= chain["n"]:
            require(count < chain["end"], "beyond the end", "CopiedState")
            require(count - chain["n"] <= MAX_JUMP, "too far", "TooFarAhead")
            for skipped in range(chain["n"], count + 1):
                chain["skipped"][skipped], chain["key"] = chain_step(chain["key"])
            chain["n"] = count + 1
        again = chain["used"].get(count, nonce) == nonce
        require(count in chain["skipped"], "used", "Replayed" if again else "CopiedState")
        chain["used"][count] = nonce
        found: bytes = chain["skipped"].pop(count)
        return found
