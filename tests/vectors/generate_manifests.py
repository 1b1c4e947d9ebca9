"""Writes manifests.json: chains that verify, chains that must not, and the kind of each failure.

    python -m tests.vectors.generate_manifests

All keys come from fixed seeds, so running it twice changes nothing.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from crypto.errors import CryptoError
from crypto.keys import LocalDevice
from crypto.manifest import SignedManifest, build_manifest, device_entry, parse_manifest, sign_manifest
from crypto.manifest_chain import VerifiedManifest, verify_chain
from crypto.safety_number import safety_number
from crypto.transcript import u64
from tests.crypto_people import NOW_MS, Person

FILE = Path(__file__).with_name("manifests.json")
JsonObject = dict[str, Any]


def error_of(account: bytes, known: VerifiedManifest | None, chain: list[SignedManifest]) -> str | None:
    """The failure kind, or None if the chain verifies."""
    try:
        verify_chain(account, known, chain)
    except CryptoError as error:
        return type(error).__name__
    return None


class House:
    """One account with three devices, and manifests of it by name."""

    def __init__(self) -> None:
        self.person = Person("manifest vectors", stock=0)
        self.account = self.person.account
        self.first = self.person.device
        self.second, self.third = (LocalDevice.generate(self.account, self.person.random) for _ in range(2))
        self.named: dict[str, SignedManifest] = {}

    def add(
        self,
        name: str,
        previous: str | None,
        devices: list[tuple[LocalDevice, bool]],
        signer: LocalDevice | None = None,
    ) -> None:
        """A manifest of (device, is manager); signed by the root key without a signer."""
        entries = [device_entry(device, added_at_ms=NOW_MS, manager=manager) for device, manager in devices]
        before = self.named[previous] if previous else None
        version = before.manifest.version + 1 if before else 1
        body = build_manifest(self.person.root.public, version, before.hash if before else None, entries)
        key, name_of_signer = (signer.signing, signer.device_id) if signer else (self.person.root, b"")
        self.named[name] = sign_manifest(body, key, name_of_signer)


def house() -> House:
    """All manifests that the cases use."""
    made = House()
    first, second, third = made.first, made.second, made.third
    made.add("first", None, [(first, True)])
    made.add("second device", "first", [(first, True), (second, True)], first)
    made.add("second removed", "second device", [(first, True)], first)
    made.add("recovery", "second removed", [(third, True)])
    made.add("after recovery", "recovery", [(third, True), (first, False)], third)
    made.add("fork of a removed manager", "second device", [(second, True)], second)
    made.add("by a removed manager", "second removed", [(first, True), (second, True)], second)
    made.add("by no manager", "after recovery", [(third, True)], first)
    made.add("by the device it adds", "first", [(first, True), (third, True)], third)
    made.add("fork of a stranger", "second device", [(third, True)], third)
    borrowed = LocalDevice(made.account, bytes(16), second.signing, third.identity)
    made.add("a removed device's key", "second removed", [(first, True), (borrowed, False)], first)
    changed = LocalDevice(made.account, first.device_id, third.signing, third.identity)
    made.add("a device with other keys", "first", [(changed, True)], first)
    good = made.named["second device"]
    made.named["bad signature"] = replace(good, signature=bytes(64))
    return made


CHAINS: list[tuple[list[str], list[str]]] = [
    ([], ["first"]),
    ([], ["first", "second device", "second removed", "recovery", "after recovery"]),
    ([], ["recovery", "after recovery"]),
    (["first"], ["second device", "second removed"]),
    (["first", "second device"], ["first", "second device", "second removed"]),
    (["first", "second device", "second removed"], ["recovery"]),
    ([], ["second device"]),
    ([], ["first", "by the device it adds"]),
    ([], ["first", "bad signature"]),
    ([], ["first", "a device with other keys"]),
    (["first", "second device"], ["first"]),
    (["first"], ["second removed"]),
    (["first", "second device", "second removed"], ["by a removed manager"]),
    (["first", "second device", "second removed"], ["fork of a removed manager"]),
    (["first", "second device", "second removed"], ["fork of a stranger"]),
    (["first", "second device", "second removed"], ["a removed device's key"]),
    (["recovery", "after recovery"], ["by no manager"]),
]


def must_fail(made: House) -> list[JsonObject]:
    """Bodies of version 1 that differ from a good one in a device's flags or time."""
    entry = device_entry(made.first, added_at_ms=NOW_MS, manager=True).encode()
    good = made.named["first"].body
    cases: list[JsonObject] = []
    for about, odd in (
        ("a flag that there is not", entry[:80] + b"\x09" + entry[81:]),
        ("a time of 2^53", entry[:81] + u64(2**53) + entry[89:]),
        ("a time of 2^63", entry[:81] + u64(2**63) + entry[89:]),
    ):
        body = good.replace(entry, odd)
        try:
            parse_manifest(body)
        except CryptoError as error:
            cases.append({"about": about, "body": body.hex(), "error": type(error).__name__})
        else:
            raise RuntimeError(f"{about} is taken")
    return cases


def document() -> str:
    """The file's text."""
    made = house()
    cases: list[JsonObject] = []
    for known_names, chain_names in CHAINS:
        known_chain = [made.named[name] for name in known_names]
        known = verify_chain(made.account, None, known_chain) if known_chain else None
        error = error_of(made.account, known, [made.named[name] for name in chain_names])
        cases.append({"known": known_names, "chain": chain_names, "error": error})
    other = Person("safety number vectors", stock=0).account
    content: JsonObject = {
        "description": "Chains of manifests, and safety numbers; docs/protocol.md",
        "root_seed": made.person.root.seed.hex(),
        "root_public": made.person.root.public.hex(),
        "account_id": made.account.hex(),
        "devices": [
            {
                "device_id": device.device_id.hex(),
                "signing_seed": device.signing.seed.hex(),
                "identity_private": device.identity.private.hex(),
            }
            for device in (made.first, made.second, made.third)
        ],
        "manifests": {
            name: {
                "body": signed.body.hex(),
                "signer": signed.signer.hex(),
                "signature": signed.signature.hex(),
                "hash": signed.hash.hex(),
                "encoded": signed.encode().hex(),
            }
            for name, signed in made.named.items()
        },
        "chains": cases,
        "safety_numbers": [
            {"one": one.hex(), "other": two.hex(), "digits": safety_number(one, two)}
            for one, two in ((made.account, other), (other, made.account), (bytes(32), b"\xff" * 32))
        ],
        "must_fail": must_fail(made),
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(document(), encoding="utf-8")
