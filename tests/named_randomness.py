"""Randomness with names: drawn and written down when a conversation is recorded, given again when it is replayed.

The library draws inside ML-KEM and HPKE, and takes no randomness of others. `derandomised` puts the oracle's arithmetic in
place of these two calls alone, so that a whole conversation follows from what is written down; what they made is
opened by the library.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from crypto import linking, pqxdh, root_chain, sealed_first_message
from tests.oracle import hpke, ml_kem

NAMES: dict[str, dict[int, list[str]]] = {
    "account": {16: ["device_id"], 32: ["root_seed", "signing_seed", "identity_private"]},
    "publish": {
        32: ["signed", "sealing", *(f"one_time_{number}" for number in range(1, 10))],
        64: ["kem_last_resort", *(f"kem_{number}" for number in range(1, 10))],
    },
    "begin": {32: ["ephemeral_private"]},
    "send": {12: ["nonce"], 32: ["ratchet_private"], 64: ["kem_seed"]},
    "receive": {},
    "link_request": {
        16: ["device_id", "mailbox_id"],
        32: ["signing_seed", "identity_private", "sealing_seed"],
    },
    "link_answer": {32: ["nonce"]},
    "link_open": {},
    "link_confirm": {},
    "create": {12: ["nonce"], 32: ["group_id", "secret", "write_seed"]},
    "commit": {12: ["nonce"], 32: ["secret", "write_seed"]},
    "follow": {},
    "tell_secret": {},
    "tell_welcome": {},
    "tell_chain": {12: ["chain_id"], 32: ["signing_seed", "chain_key"]},
    "say": {12: ["nonce"]},
    "hear": {},
}
"""How the product's draws of one length follow each other, action by action."""


class Draws:
    """What one step draws, by name."""

    def __init__(self, action: str) -> None:
        self.names = {length: iter(names) for length, names in NAMES[action].items()}
        self.drawn: dict[str, bytes] = {}

    def __call__(self, length: int) -> bytes:
        return self.named(next(self.names[length]), length)

    def named(self, name: str, length: int) -> bytes:
        assert name not in self.drawn, f"{name} is drawn twice"
        self.drawn[name] = self.bytes_of(name, length)
        return self.drawn[name]

    def bytes_of(self, name: str, length: int) -> bytes:
        raise NotImplementedError


class Recorded(Draws):
    """New randomness, from a seed."""

    def __init__(self, action: str, seed: str) -> None:
        super().__init__(action)
        self.seed = seed

    def bytes_of(self, name: str, length: int) -> bytes:
        return hashlib.shake_256(f"tokenim conversation, {self.seed}, {name}".encode()).digest(length)


class Given(Draws):
    """What a file says; nothing else, and all of it."""

    def __init__(self, action: str, random: dict[str, str]) -> None:
        super().__init__(action)
        self.random = random

    def bytes_of(self, name: str, length: int) -> bytes:
        given = bytes.fromhex(self.random[name])
        assert len(given) == length
        return given

    def require_used_up(self) -> None:
        assert sorted(self.drawn) == sorted(self.random), "the file gives more than is drawn"


@contextmanager
def derandomised(draws: Draws) -> Iterator[None]:
    """Encapsulations and sealing draw here: 32 B, and 64 B for ML-KEM and the ephemeral X25519 key of X-Wing."""

    def encapsulate(public: bytes) -> tuple[bytes, bytes]:
        return ml_kem.encapsulate(public, draws.named("encapsulation", 32))

    def seal(public: bytes, info: bytes, plaintext: bytes) -> bytes:
        return hpke.seal(public, info, plaintext, draws.named("seal", 64))

    with pytest.MonkeyPatch.context() as patch:
        for module in (root_chain, pqxdh):
            patch.setattr(module, "ml_kem_768_encapsulate", encapsulate)
        for module in (sealed_first_message, linking):
            patch.setattr(module, "hpke_seal", seal)
        yield
