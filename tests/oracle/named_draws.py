"""Randomness as the files of conversations give it: by name, drawn in this implementation's own order."""

from typing import Any

ORDER: dict[str, dict[int, list[str]]] = {
    "account": {16: ["device_id"], 32: ["root_seed", "signing_seed", "identity_private"]},
    "begin": {32: ["ephemeral_private", "encapsulation"]},
    "send": {12: ["nonce"], 32: ["ratchet_private", "encapsulation"], 64: ["kem_seed", "seal"]},
    "link_request": {
        16: ["device_id", "mailbox_id"],
        32: ["signing_seed", "identity_private", "sealing_seed"],
    },
    "link_answer": {32: ["nonce"], 64: ["seal"]},
    "create": {12: ["nonce"], 32: ["group_id", "secret", "write_seed"]},
    "commit": {12: ["nonce"], 32: ["secret", "write_seed"]},
    "tell_chain": {12: ["chain_id"], 32: ["signing_seed", "chain_key"]},
    "say": {12: ["nonce"]},
}


class NamedDraws:
    """The randomness of one step."""

    def __init__(self, action: str, random: dict[str, Any]) -> None:
        self.left = {name: bytes.fromhex(value) for name, value in random.items()}
        self.order = {
            length: [name for name in names if name in random]
            for length, names in ORDER.get(action, {}).items()
        }

    def __call__(self, length: int) -> bytes:
        given = self.left.pop(self.order[length].pop(0))
        assert len(given) == length
        return given
