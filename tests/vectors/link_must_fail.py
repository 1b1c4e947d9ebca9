"""What linking.json holds that must be refused, each with one thing wrong: requests, answers, confirmations, lists.

`generate_accounts.py` writes them into the file. What is sealed is sealed by the oracle, with randomness from a seed.
"""

from dataclasses import replace
from typing import Any

from crypto import labels
from crypto.keys import LocalDevice, SigningKeyPair
from crypto.linking import LinkAnswer, LinkOffer, begin_link, confirm_link
from crypto.manifest import build_manifest, device_entry, sign_manifest
from crypto.manifest_chain import VerifiedManifest, verify_chain
from crypto.primitives import sha256
from crypto.transcript import transcript
from tests.crypto_people import NOW_MS, Person, SeededRandom
from tests.oracle import hpke

LATE_MS = 60_001
NO_POINT_OF_THE_GROUP = bytes(32)
"""An Ed25519 key of order 4."""
NOT_REDUCED = b"\xff" * 32
"""No canonical X25519 key: the coordinate is above the prime."""


def must_fail(offer: LinkOffer, person: Person, answer: LinkAnswer, sealed: bytes) -> dict[str, Any]:
    """The cases of all four lists."""
    return {
        "requests": _requests(offer),
        "answers": _answers(offer, answer, sealed),
        "confirmations": _confirmations(offer, answer),
        "lists": _lists(offer, person),
    }


def listed(offer: LinkOffer, person: Person) -> list[str]:
    """The account's manifests once the manager has taken the device in."""
    return _encoded(
        _next(person.manifest, person, [person.device], [offer.device(person.account)], person.device)
    )


def _requests(offer: LinkOffer) -> list[dict[str, Any]]:
    good, signed = offer.request, offer.request.encode()[64:]
    other = begin_link("laptop", SeededRandom("another laptop"), NOW_MS)
    fields = good.sealing_public, good.device_id, good.signing_public, good.identity_public, b"laptop"

    def made(*changed: bytes, label: bytes = labels.LINK_REQUEST) -> bytes:
        body = transcript(label, *changed)
        return offer.signing.sign(body) + body

    def with_field(at: int, value: bytes) -> bytes:
        return made(*fields[:at], value, *fields[at + 1 :])

    suite_2 = signed.replace(b"\0\1", b"\0\2", 1)
    own = offer.scanned.encode()
    cases: list[tuple[str, bytes, bytes, int, bool, str]] = [
        ("another request than the code names", own, other.request.encode(), 0, False, "LinkRefused"),
        ("a changed byte", own, _flipped(good.encode()), 0, False, "LinkRefused"),
        ("scanned a minute ago", own, good.encode(), LATE_MS, False, "LinkRefused"),
        ("answered before", own, good.encode(), 1, True, "LinkRefused"),
        ("a code that is cut short", own[:-1], good.encode(), 0, False, "InvalidEncoding"),
        ("a code that is too long", own + b"\0", good.encode(), 0, False, "InvalidEncoding"),
    ]
    wrong = [
        ("a changed signature", _flipped(good.encode()[:64]) + signed, "InvalidSignature"),
        ("the signature of another key", other.signing.sign(signed) + signed, "InvalidSignature"),
        ("the signature of another request", other.request.signature + signed, "InvalidSignature"),
        ("another label", made(*fields, label=labels.LINK_ANSWER), "InvalidEncoding"),
        ("another suite", offer.signing.sign(suite_2) + suite_2, "InvalidEncoding"),
        ("a field too few", made(*fields[:-1]), "InvalidEncoding"),
        ("a field too many", made(*fields, b""), "InvalidEncoding"),
        ("cut short", good.encode()[:-1], "InvalidEncoding"),
        ("a byte behind the end", good.encode() + b"\0", "InvalidEncoding"),
        ("a signature alone", good.signature, "InvalidEncoding"),
        ("an X-Wing key of another length", with_field(0, fields[0][:-1]), "InvalidEncoding"),
        ("a device id of another length", with_field(1, fields[1][:-1]), "InvalidEncoding"),
        ("a signing key of another length", with_field(2, fields[2][:-1]), "InvalidEncoding"),
        ("an identity key of another length", with_field(3, fields[3][:-1]), "InvalidEncoding"),
        ("no name", with_field(4, b""), "InvalidEncoding"),
        ("a name of 65 bytes", with_field(4, b"x" * 65), "InvalidEncoding"),
        ("a name that is no UTF-8", with_field(4, b"\xffaptop"), "InvalidEncoding"),
        ("an ML-KEM half above the modulus", with_field(0, b"\xff" * 3 + fields[0][3:]), "InvalidKey"),
        ("an X25519 half that is not reduced", with_field(0, fields[0][:-32] + NOT_REDUCED), "InvalidKey"),
        ("a signing key of small order", with_field(2, NO_POINT_OF_THE_GROUP), "InvalidKey"),
        ("an identity key that is not reduced", with_field(3, NOT_REDUCED), "InvalidKey"),
    ]
    for name, request, kind in wrong:
        cases.append((name, own[:16] + sha256(request), request, 0, False, kind))
    return [
        {
            "name": name,
            "qr": qr.hex(),
            "request": request.hex(),
            "after_ms": after_ms,
            "again": again,
            "error": kind,
        }
        for name, qr, request, after_ms, again, kind in cases
    ]


def _answers(offer: LinkOffer, answer: LinkAnswer, sealed: bytes) -> list[dict[str, Any]]:
    mailbox_id, request_hash = offer.scanned.mailbox_id, offer.scanned.request_hash
    other, random = begin_link("laptop", SeededRandom("another laptop"), NOW_MS), SeededRandom("answers")

    def for_others(
        content: bytes = answer.encode(),
        mailbox: bytes = mailbox_id,
        request: bytes = request_hash,
        to: bytes = offer.request.sealing_public,
        label: bytes = labels.LINK_ANSWER,
    ) -> bytes:
        return hpke.seal(to, transcript(label, mailbox, request), content, random(64))

    changed = sealed[:-20] + _flipped(sealed[-20:])
    cases: list[tuple[str, bytes, int, bool, str]] = [
        ("after a minute", sealed, LATE_MS, False, "LinkRefused"),
        ("after another was opened", sealed, 1, True, "LinkRefused"),
        ("a changed byte of what is sealed", changed, 0, False, "Undecryptable"),
        ("a changed byte of the encapsulation", _flipped(sealed), 0, False, "Undecryptable"),
        ("cut short", sealed[:-1], 0, False, "Undecryptable"),
        ("a byte behind the end", sealed + b"\0", 0, False, "Undecryptable"),
        ("nothing but an encapsulation", sealed[:1_120], 0, False, "Undecryptable"),
        ("for another mailbox", for_others(mailbox=other.scanned.mailbox_id), 0, False, "Undecryptable"),
        ("for another request", for_others(request=other.scanned.request_hash), 0, False, "Undecryptable"),
        ("to another key", for_others(to=other.request.sealing_public), 0, False, "Undecryptable"),
        ("under another label", for_others(label=labels.LINK_CODE), 0, False, "Undecryptable"),
        ("an answer of 79 bytes", for_others(answer.encode()[:-1]), 0, False, "InvalidEncoding"),
        ("an answer of 81 bytes", for_others(answer.encode() + b"\0"), 0, False, "InvalidEncoding"),
    ]
    return [
        {"name": name, "sealed_answer": bad.hex(), "after_ms": after_ms, "again": again, "error": kind}
        for name, bad, after_ms, again, kind in cases
    ]


def _confirmations(offer: LinkOffer, answer: LinkAnswer) -> list[dict[str, Any]]:
    good = confirm_link(offer, answer)
    other = begin_link("laptop", SeededRandom("another laptop"), NOW_MS)
    for_another = confirm_link(offer, replace(answer, account=bytes(32)))
    of_another_id = replace(offer, request=replace(offer.request, device_id=other.request.device_id))
    cases = [
        ("after a minute", good, LATE_MS, "LinkRefused"),
        ("a changed byte", _flipped(good), 0, "InvalidSignature"),
        ("for another account", for_another, 0, "InvalidSignature"),
        ("of another device", confirm_link(other, answer), 0, "InvalidSignature"),
        ("for another device id", confirm_link(of_another_id, answer), 0, "InvalidSignature"),
        ("the request's signature", offer.request.signature, 0, "InvalidSignature"),
        ("cut short", good[:-1], 0, "InvalidEncoding"),
        ("a byte behind the end", good + b"\0", 0, "InvalidEncoding"),
    ]
    return [
        {"name": name, "confirmation": bad.hex(), "after_ms": after_ms, "error": kind}
        for name, bad, after_ms, kind in cases
    ]


def _lists(offer: LinkOffer, person: Person) -> list[dict[str, Any]]:
    account, first = person.account, person.manifest
    new, second = offer.device(account), LocalDevice.generate(account, SeededRandom("another manager"))
    other_keys = LocalDevice(
        account, new.device_id, SigningKeyPair.generate(SeededRandom("other keys")), second.identity
    )
    both = [person.device, second]
    with_second = _next(first, person, both, [], person.device)
    chains = [
        ("another manager took it in", _next(with_second, person, both, [new], second)),
        ("the root key took it in", _next(first, person, [person.device], [new], None)),
        ("other keys", _next(first, person, [person.device], [other_keys], person.device)),
        ("not in the list", with_second),
    ]
    return [{"name": name, "manifests": _encoded(chain), "error": "DevicesRefused"} for name, chain in chains]


def _next(
    before: VerifiedManifest,
    person: Person,
    managers: list[LocalDevice],
    others: list[LocalDevice],
    signer: LocalDevice | None,
) -> VerifiedManifest:
    """The chain with one more version, signed by the root key if by no device."""
    entries = [device_entry(device, added_at_ms=NOW_MS, manager=True) for device in managers]
    entries += [device_entry(device, added_at_ms=NOW_MS) for device in others]
    body = build_manifest(person.root.public, before.version + 1, before.hash, entries)
    signed = (
        sign_manifest(body, person.root)
        if signer is None
        else sign_manifest(body, signer.signing, signer.device_id)
    )
    return verify_chain(person.account, before, [signed])


def _encoded(chain: VerifiedManifest) -> list[str]:
    return [signed.encode().hex() for signed in chain.chain]


def _flipped(data: bytes) -> bytes:
    return bytes((data[0] ^ 1,)) + data[1:]
