"""The vectors of manifests, linking, recovery, the history archive and the log, compared with the oracle; each function
reads the whole of its file.
"""

import pytest

from tests.oracle import ed25519, history, hpke, linking, manifests, profiles, recovery, transparency, x25519
from tests.oracle.manifests import Manifest
from tests.oracle.refusals import Refused, failure_of
from tests.oracle.transcripts import sha256, u64
from tests.oracle.vector_files import Part


def check_device(part: Part, account: bytes) -> tuple[bytes, bytes]:
    """(Device id, its field up to the flags), the signature being made anew."""
    device, signing_seed, private = part.data("device_id", "signing_seed", "identity_private")
    return device, ed25519.public_of(signing_seed) + x25519.public_of(private) + linking.confirmation(
        account, device, signing_seed, x25519.public_of(private)
    )


def check_manifest(part: Part, root_seed: bytes, seeds: dict[bytes, bytes]) -> Manifest:
    """Parsed, built anew from its parts, and, where the signer's key is known, signed anew."""
    one = manifests.parse_body(*part.data("body", "signer", "signature"))
    assert one.encode() == part.data("encoded")
    assert one.hash == part.data("hash")
    assert manifests.parse(part.data("encoded")) == one
    assert manifests.encode_body(one.root, one.version, one.previous, list(one.devices.values())) == one.body
    seed = seeds.get(one.signer) if one.signer else root_seed
    if seed is not None:
        again = manifests.make(
            one.root, one.version, one.previous, list(one.devices.values()), seed, one.signer
        )
        try:
            ed25519.verify(ed25519.public_of(seed), one.body, one.signature)
        except Refused:
            assert part.path.endswith(("bad signature", "fork of a stranger"))
        else:
            assert again == one.encode()
    return one


def check_manifests(file: Part) -> None:
    root_seed, root, account = file.data("root_seed", "root_public", "account_id")
    assert (ed25519.public_of(root_seed), manifests.account_id(root)) == (root, account)
    known = dict(check_device(part, account) for part in file["devices"])
    seeds = {part.data("device_id"): part.data("signing_seed") for part in file["devices"]}
    made = {name: check_manifest(file["manifests"][name], root_seed, seeds) for name in file["manifests"]}
    for one in made["first"], made["second device"], made["second removed"], made["recovery"]:
        for device in one.devices.values():
            assert device.signing + device.identity + device.signature == known[device.device]
    for part in file["chains"]:
        before = (
            manifests.verify_chain(account, [], [made[name] for name in part["known"]])
            if len(part["known"])
            else []
        )
        came = [made[name] for name in part["chain"]]
        assert failure_of(manifests.verify_chain, account, before, came) == part["error"], list(part["chain"])
        if part["error"] is None:
            assert manifests.verify_chain(account, before, came)[-1] is came[-1]
    for part in file["safety_numbers"]:
        assert manifests.safety_number(*part.data("one", "other")) == part["digits"]
    for part in file["must_fail"]:
        assert failure_of(manifests.parse_body, part.data("body"), b"", bytes(64)) == part["error"]


def check_linking(file: Part) -> None:
    sealing, signing, identity, device = file.data(
        "sealing_seed", "signing_seed", "identity_private", "device_id"
    )
    public = x25519.public_of(identity)
    asked = linking.request(hpke.x_wing_public(sealing), device, signing, public, file["name"])
    assert asked == file.data("request")
    scanned = file.data("mailbox_id") + sha256(asked)
    assert scanned == file.data("qr")
    keys = linking.parse_request(asked, scanned[16:])
    assert keys[1:] == (device, ed25519.public_of(signing), public, file["name"].encode())
    answer = linking.open_answer(file.data("sealed_answer"), sealing, file.data("mailbox_id"), asked)
    assert answer == tuple(file.data("account", "manager", "nonce"))
    assert b"".join(answer) == file.data("answer")
    assert linking.digits(asked, file.data("answer")) == file["code"]
    assert linking.confirmation(answer[0], device, signing, public) == file.data("confirmation")
    linking.verify_confirmation(answer[0], keys, file.data("confirmation"))
    chain = [manifests.parse(one) for one in file["manifests"].all_data()]
    linking.require_listed(manifests.verify_chain(answer[0], [], chain), answer[1], keys)
    check_bad_links(file["must_fail"], sealing, asked, file.data("mailbox_id"), file.data("answer"))


def check_bad_links(part: Part, sealing: bytes, asked: bytes, mailbox: bytes, answer: bytes) -> None:
    """What must fail of linking, each for its kind."""

    def scan(qr: bytes, request: bytes, after_ms: int, again: bool) -> None:
        _, hashed = linking.parse_qr(qr)
        linking.require_good(after_ms, again)
        linking.parse_request(request, hashed)

    def opened(sealed: bytes, after_ms: int, again: bool) -> None:
        linking.require_good(after_ms, again)
        linking.open_answer(sealed, sealing, mailbox, asked)

    account, manager = answer[:32], answer[32:48]
    keys = linking.parse_request(asked, sha256(asked))

    def confirmed(signature: bytes, after_ms: int) -> None:
        linking.require_good(after_ms)
        linking.verify_confirmation(account, keys, signature)

    for case in part["requests"]:
        given = *case.data("qr", "request"), case["after_ms"], case["again"]
        assert failure_of(scan, *given) == case["error"], case["name"]
    for case in part["answers"]:
        given = case.data("sealed_answer"), case["after_ms"], case["again"]
        assert failure_of(opened, *given) == case["error"], case["name"]
    for case in part["confirmations"]:
        given = case.data("confirmation"), case["after_ms"]
        assert failure_of(confirmed, *given) == case["error"], case["name"]
    for case in part["lists"]:
        came = [manifests.parse(one) for one in case["manifests"].all_data()]
        chain = manifests.verify_chain(account, [], came)
        assert failure_of(linking.require_listed, chain, manager, keys) == case["error"], case["name"]


def check_recovery(file: Part) -> None:
    key = file.data("key")
    assert recovery.words_of(key) == file["words"]
    assert recovery.key_of(file["words"].upper()) == key
    assert recovery.seeds(key) == (file.data("root_seed"), file.data("sealing_seed"))
    assert ed25519.public_of(file.data("root_seed")) == file.data("root_public")
    assert hpke.x_wing_public(file.data("sealing_seed")) == file.data("sealing_public")
    one = manifests.parse(file.data("manifest"))
    chain = manifests.verify_chain(manifests.account_id(one.root), [], [one])
    backup, sealing = file.data("backup", "sealing_seed")
    assert one.devices[backup[33:49]].signing == file.data("signing_public")
    assert recovery.open_backup(backup, sealing, chain) == (int(file["counter"]), file.data("content"))
    head = file.data("signed_head")
    assert recovery.signed_head(backup) == head
    assert recovery.verify_head(head, chain) == int(file["counter"])
    for at in (0, 1, 40, 56, 64, 90, 104, 110, 170, 200):
        with pytest.raises(Refused):
            recovery.verify_head(head[:at] + bytes([head[at] ^ 1]) + head[at + 1 :], chain)
    for at in (0, 1, 40, 56, 64, 90, 104, 110, 170, 1_000, len(backup) - 1):
        with pytest.raises(Refused):
            recovery.open_backup(backup[:at] + bytes([backup[at] ^ 1]) + backup[at + 1 :], sealing, chain)
    assert recovery.parts_of(backup) == file["entries"].all_data()
    assert recovery.whole_backups(recovery.parts_of(backup)) == [backup]
    check_bad_backups(file["must_fail"], sealing)


def check_bad_backups(part: Part, sealing: bytes) -> None:
    """What must fail of recovery, each for its kind."""

    def opened(backup: bytes, chain: list[Manifest], known_counter: int) -> None:
        recovery.open_backup(backup, sealing, chain)
        recovery.require_newest(backup, chain, known_counter)

    chains = {}
    for name in part["chains"]:
        came = [manifests.parse(one) for one in part["chains"][name].all_data()]
        chains[name] = manifests.verify_chain(manifests.account_id(came[0].root), [], came)
    for case in part["words"]:
        assert failure_of(recovery.key_of, case["words"]) == case["error"], case["name"]
    for case in part["backups"]:
        given = case.data("backup"), chains[case["chain"]], case["known_counter"]
        assert failure_of(opened, *given) == case["error"], case["name"]
    for case in part["heads"]:
        given = case.data("head"), chains[case["chain"]]
        assert failure_of(recovery.verify_head, *given) == case["error"], case["name"]
    for case in part["logs"]:
        given = case["entries"].all_data(), sealing, chains[case["chain"]]
        assert failure_of(recovery.restore, *given) == case["error"], case["name"]


def check_history(file: Part) -> None:
    account, key, sealing = file.data("account", "key", "sealing_seed")
    assert history.key_id(key, account) == file.data("key_id")
    for part in file["entries"]:
        content, salt, entry = part.data("content", "salt", "entry")
        assert history.derive(key, salt, account, part["index"])[2] == part.data("commitment")
        assert history.seal(content, key, account, part["index"], salt) == entry
        assert history.unseal(entry, key, account, part["index"]) == content
    small = file["entries"][1].data("entry")
    for case in file["must_fail"]:
        changed = bytearray(bytes.fromhex(case.get("entry") or small.hex()))[: case.get("keep")]
        if (at := case.get("at")) is not None:
            changed[at] ^= 1
        opener = bytes.fromhex(case.get("key") or key.hex())
        of = bytes.fromhex(case.get("account") or account.hex())
        given = bytes(changed), opener, of, case.get("index") or 1
        assert failure_of(history.unseal, *given) == case["error"], case["name"]
    keys = [(part.data("key"), part["made_at_ms"]) for part in file["keys"]]
    assert history.open_keys(file.data("sealed_keys"), sealing, account) == keys
    assert keys[0][0] == key
    with pytest.raises(Refused):
        history.open_keys(file.data("sealed_keys"), sealing, bytes(32))
    gift = file["gift"]
    giver, receiver, seed, sealed = gift.data("giver", "receiver", "sealing_seed", "sealed")
    info = history.gift_info(account, giver, receiver, gift["sealing_key_id"])
    assert info == gift.data("info")
    assert history.open_gift(sealed, seed, info) == keys
    for case in gift["must_fail"]:
        told = bytes.fromhex(case.get("sealed") or sealed.hex())
        between = [
            bytes.fromhex(case.get(name) or usual.hex())
            for name, usual in (("account", account), ("giver", giver), ("receiver", receiver))
        ]
        info = history.gift_info(*between, case.get("sealing_key_id") or gift["sealing_key_id"])
        assert failure_of(history.open_gift, told, seed, info) == case["error"], case["name"]


def check_profiles(file: Part) -> None:
    account, key, device, seed = file.data("account", "key", "device", "signing_seed")
    listed = {device: ed25519.public_of(seed)}
    for part in file["profiles"]:
        content, salt, profile = part.data("content", "salt", "profile")
        assert profiles.derive(key, salt, account, part["version"])[2] == part.data("commitment")
        signed = profiles.signed(account, part["version"], device, content)
        assert ed25519.sign(seed, signed) == part.data("signature")
        assert profiles.seal(content, key, account, part["version"], salt, device, seed) == profile
        assert profiles.unseal(profile, key, account, part["version"], listed) == content
    small = file["profiles"][1].data("profile")
    for case in file["must_fail"]:
        changed = bytearray(bytes.fromhex(case.get("profile") or small.hex()))[: case.get("keep")]
        if (at := case.get("at")) is not None:
            changed[at] ^= 1
        opener = bytes.fromhex(case.get("key") or key.hex())
        of = bytes.fromhex(case.get("account") or account.hex())
        given = bytes(changed), opener, of, case.get("version") or 2, listed
        assert failure_of(profiles.unseal, *given) == case["error"], case["name"]


def check_bip39(file: Part) -> None:
    for part in file["vectors"]:
        assert recovery.words_of(part.data("entropy")) == part["words"]
        assert recovery.key_of(part["words"]) == part.data("entropy")


def check_transparency(file: Part) -> None:
    log_id, relay = file.data("log_id", "relay_public")
    leaves, heads = [], {}
    for part in file["leaves"]:
        subject, value = part.data("subject", "value_hash")
        leaves.append(transparency.leaf(part["type"], subject, part["version"], value))
        assert leaves[-1] == part.data("leaf")
    for part in file["heads"]:
        size, root, signed = part["size"], part.data("root"), part.data("head")
        assert transparency.root_of(leaves[:size]) == root
        assert transparency.head(log_id, size, root, part["time_ms"]) == signed[64:]
        assert transparency.verify_head(signed, relay)[:3] == [log_id, u64(size), root]
        heads[size] = root
        with pytest.raises(Refused):
            transparency.verify_head(signed[:-1] + bytes([signed[-1] ^ 1]), relay)
    for part in file["inclusion"]:
        index, size, proof = part["index"], part["size"], part["proof"].all_data()
        assert transparency.inclusion(index, leaves[:size]) == proof
        assert transparency.root_from_path(leaves[index], index, size, proof) == heads[size]
        assert transparency.root_from_path(leaves[index - 1], index, size, proof) != heads[size]
        if index == 7:
            newest = file["heads"][-1].data("head")
            assert transparency.encode_inclusion(index, proof, newest) == file.data("inclusion_encoded")
    part = file["handle"]
    salt, account, subject = part.data("salt", "account", "subject")
    assert transparency.handle_leaf(salt, part["handle"], 1, account) == (subject, part.data("bound"))
    assert transparency.handle_leaf(salt, part["handle"], 2, b"") == (subject, part.data("given_back"))
    for part in file["consistency"]:
        path = part["proof"].all_data()
        assert transparency.consistency(part["from"], leaves[: part["to"]]) == path
        signed = {one["size"]: one.data("head") for one in file["heads"]}
        transparency.follow(signed[part["from"]], signed[part["to"]], path, relay)
    for part in file["must_fail"]["inclusion"]:
        given = part.data("leaf"), part["index"], part["proof"].all_data(), part.data("head"), relay
        assert failure_of(transparency.require_inclusion, *given) == part["error"], part["name"]
    encoded = file.data("inclusion_encoded")
    assert transparency.encode_inclusion(*transparency.parse_inclusion(encoded)) == encoded
    for part in file["must_fail"]["inclusions_encoded"]:
        failure = failure_of(transparency.parse_inclusion, part.data("encoded"))
        assert failure == part["error"], part["name"]
    for part in file["must_fail"]["gossip"]:
        assert failure_of(transparency.parse_gossip, part.data("encoded")) == part["error"], part["name"]
    for part in file["must_fail"]["heads"]:
        known = None if part["known"] is None else part.data("known")
        given = known, part.data("head"), part["proof"].all_data(), relay
        assert failure_of(transparency.follow, *given) == part["error"], part["name"]


CHECKS = {
    "manifests.json": check_manifests,
    "linking.json": check_linking,
    "recovery.json": check_recovery,
    "history.json": check_history,
    "profiles.json": check_profiles,
    "bip39.json": check_bip39,
    "transparency.json": check_transparency,
}
