"""The vectors of set-up and ratchet, compared with the oracle; each function reads the whole of its file."""

import copy
from typing import Any

from tests.oracle import ed25519, hpke, manifests, ml_kem, prekeys, ratchet, session_setup, x25519
from tests.oracle.aes_gcm import gcm_open, gcm_seal
from tests.oracle.padding import BUCKETS, unpad
from tests.oracle.prekeys import KEM, ONE_TIME, SIGNED, Prekey
from tests.oracle.ratchet import Oracle
from tests.oracle.refusals import failure_of
from tests.oracle.session_setup import Side
from tests.oracle.transcripts import transcript, u32
from tests.oracle.vector_files import Part


def party(part: Part) -> Side:
    """One side, with all that the vectors say of it checked."""
    account, device, manifest_hash = part.data("account_id", "device_id", "manifest_hash")
    chain = manifests.verify_chain(account, [], [manifests.parse(part.data("manifest"))])
    entry = chain[0].devices[device]
    assert manifests.account_id(part.data("root_public")) == account
    assert (chain[0].root, chain[0].hash) == (part.data("root_public"), manifest_hash)
    assert entry.signing == ed25519.public_of(part.data("signing_seed"))
    assert entry.identity == x25519.public_of(part.data("identity_private")) == part.data("identity_public")
    return Side(account, device, chain[0].version, manifest_hash, entry.identity)


def prekey(part: Part, owner: tuple[bytes, bytes, bytes]) -> Prekey:
    made = prekeys.make(part["kind"], part["class"], part["id"], part["made_at_ms"], part.data("seed"), owner)
    assert (made.key, made.encode()) == (part.data("public"), part.data("encoded"))
    assert made.signed_by(*owner[:2]) == part.data("transcript")
    return made


def check_bundle(part: Part, owner: tuple[bytes, bytes, bytes]) -> None:
    seen = {(kind, key_class): made for kind, key_class, made in map(list, part["seen"])}
    now_ms = part["now_ms"]
    keys = part["keys"].all_data()

    def check() -> None:
        prekeys.check_bundle([prekeys.parse(key) for key in keys], owner, now_ms, seen)

    assert failure_of(check) == part["error"], part["name"]


def check_setup(part: Part, a: Side, b: Side, privates: list[bytes], keys: list[Prekey]) -> None:
    """By both sides' private keys, as A and as B."""

    def named(kind: int, key_id: int) -> Prekey:
        return next(key for key in keys if (key.kind, key.key_id) == (kind, key_id))

    chosen = {SIGNED: named(SIGNED, part["signed_id"]), KEM: named(KEM, part["kem_id"])}
    if part["one_time_id"] is not None:
        chosen[ONE_TIME] = named(ONE_TIME, part["one_time_id"])
    ephemeral, ciphertext = part.data("ephemeral_private", "kem_ciphertext")
    public = x25519.public_of(ephemeral)
    exchanges = [
        x25519.agree(privates[0], chosen[SIGNED].key),
        x25519.agree(ephemeral, b.identity),
        x25519.agree(ephemeral, chosen[SIGNED].key),
        *([x25519.agree(ephemeral, chosen[ONE_TIME].key)] if ONE_TIME in chosen else []),
    ]
    assert exchanges == part["exchanges"].all_data()
    kem_secret = part.data("kem_secret")
    agreed = session_setup.session_transcript(a, b, part["setup_number"], chosen, public, ciphertext)
    assert agreed == part.data("transcript")
    assert b"\xff" * 32 + b"".join(exchanges) + kem_secret == part.data("ikm")
    secrets = session_setup.session_keys(agreed, exchanges, kem_secret)
    assert b"tokenim/v1 session keys\0" + secrets["session_id"] == part.data("info")
    assert secrets == {name: part.data(name) for name in secrets}
    values = session_setup.parse_values(part.data("values"))
    assert (values.encode(), values.digest) == (part.data("values"), part.data("values_digest"))
    assert (values.ephemeral, values.ciphertext, values.number) == (public, ciphertext, part["setup_number"])
    assert session_setup.exchanges_of_b(values, a.identity, privates[1], chosen) == exchanges
    assert session_setup.respond(values, a, b, privates[1], chosen) == secrets


def check_sessions(file: Part) -> None:
    parties = file["parties"]
    a, b = party(parties["a"]), party(parties["b"])
    privates = [parties[name].data("identity_private") for name in "ab"]
    seed = parties["b"].data("signing_seed")
    keys = [prekey(part, (b.account, b.device, seed)) for part in file["prekeys"]]
    assert all(key.made_at_ms == file["now_ms"] for key in keys)
    for bundle in file["bundles"]:
        check_bundle(bundle, (b.account, b.device, ed25519.public_of(seed)))
    for public in file["encapsulations"]:
        secret, ciphertext = file["encapsulations"][public].all_data()
        key = next(key for key in keys if key.key.hex() == public)
        assert ml_kem.decapsulate(key.seed, ciphertext) == secret
    for setup in file["setups"]:
        check_setup(setup, a, b, privates, keys)
    me = b.account, b.device
    for part in file["envelopes"]:
        envelope, sealing_id = part.data("envelope"), part["sealing_id"]
        assert session_setup.envelope_info(*me, sealing_id) == part.data("info")
        sealing = next(key for key in keys if (key.kind, key.key_id) == (4, sealing_id))
        padded = hpke.unseal(sealing.seed, part.data("info"), envelope[6:])
        assert (padded, unpad(padded)) == (part.data("padded"), part.data("content"))
        inside = session_setup.unwrap(envelope, keys, me)
        assert inside["manifests"] == part["manifests"].all_data()
        assert (inside["proof"], inside["message"]) == (part.data("proof"), part.data("message"))
        assert session_setup.encode_content(**inside) == part.data("content")
    for part in file["broken_envelopes"]:
        assert failure_of(session_setup.unwrap, part.data("envelope"), keys, me) == part["error"], part.path
    for part in file["broken_contents"]:
        failure = failure_of(session_setup.parse_content, part.data("content"))
        assert failure == part["error"], part["name"]


def pair(part: Part) -> tuple[bytes, bytes]:
    """Two AES keys of a header key."""
    return part.data("header"), part.data("block")


LABELS = {
    "ROOT_STEP": b"tokenim/v1 root step\0",
    "ROOT_STEP_KEM": b"tokenim/v1 root step with kem\0",
    "HEADER_KEYS": b"tokenim/v1 header keys\0",
    "MESSAGE_KEYS": b"tokenim/v1 message keys\0",
    "EPHEMERAL_KEY": b"tokenim/v1 ephemeral key\0",
    "MESSAGE": b"tokenim/v1 message\0",
}


def check_ratchet_derivations(file: Part) -> None:
    assert {name: file["labels"].data(name) for name in file["labels"]} == LABELS
    assert list(file["buckets"]) == BUCKETS
    part = file["header_keys"]
    assert ratchet.header_keys(part.data("header_key")) == pair(part)
    part = file["chain_step"]
    assert ratchet.chain_step(part.data("chain_key")) == (part.data("message_key"), part.data("next"))
    part = file["body_key"]
    assert ratchet.body_key(part.data("message_key")) == (part.data("key"), part.data("nonce"))
    part = file["ephemeral_key"]
    assert ratchet.ephemeral_key(part.data("first_chain_key")) == part.data("key")
    for part in file["root_steps"]:
        root, chain, header = ratchet.root_step(*part.data("root_key", "dh", "shared_secret"))
        assert (root, chain) == (part.data("next_root_key"), part.data("chain_key"))
        assert ratchet.header_keys(header) == pair(part["next_header_keys"])
    part = file["header"]
    assert pair(part["keys"]) == pair(file["header_keys"])
    key, nonce, sealed = pair(part["keys"])[0], part.data("nonce"), part.data("sealed")
    plain = ratchet.encode_header(
        part.data("ratchet_public"), part["previous_length"], part["number"], part["flags"]
    )
    assert gcm_seal(key, nonce, plain, b"\x02\x01") == sealed
    assert gcm_open(key, nonce, sealed, b"\x02\x01") == plain
    part = file["associated_data_start"]
    start, whole = part.data("start"), part.data("transcript")
    assert transcript(b"tokenim/v1 message\0", *part["fields"].all_data()) == start
    envelope = whole[len(start) + 4 :]
    assert start + u32(len(envelope)) + envelope == whole
    part = file["kem_seed"]
    assert ml_kem.public_of(part.data("seed")) == part.data("offer")


def send_step(step: Part, side: Oracle) -> bytes:
    """The envelope, made of the randomness of the vectors; every intermediate value compared."""
    drawn = step["random"].all_data()
    kem = step.get("encapsulation")
    if kem is not None:
        side.encapsulations[kem.data("offer")] = kem.data("shared_secret"), kem.data("ciphertext")

    def draw(length: int) -> bytes:
        assert len(drawn[0]) == length
        return drawn.pop(0)

    envelope = side.seal(step.data("plaintext"), draw, step["now_ms"], ephemeral=step["ephemeral"])
    assert not drawn
    assert envelope == step.data("envelope")
    values = step["intermediate"]
    assert {name: _plain(values, name) for name in values} == {name: side.trace[name] for name in values}
    return envelope


def _plain(values: Part, name: str) -> Any:
    value = values[name]
    if isinstance(value, Part):
        return pair(value)
    return bytes.fromhex(value) if isinstance(value, str) else value


def check_ratchet(file: Part) -> None:
    given = {name: file["set_up"].data(name) for name in file["set_up"]}
    a, b = (given["account_a"], given["device_a"]), (given["account_b"], given["device_b"])
    assert x25519.public_of(given["signed_prekey_private"]) == given["signed_prekey_public"]
    sides = {
        "a": Oracle(given, a, b, prekey_public=given["signed_prekey_public"]),
        "b": Oracle(given, b, a, prekey_private=given["signed_prekey_private"]),
    }
    sent: list[tuple[bytes, bytes]] = []
    for step in file["steps"]:
        action, now_ms = step["action"], step["now_ms"]
        sent.append((b"", b""))
        if action == "send":
            sent[-1] = send_step(step, sides[step["from"]]), step.data("plaintext")
            continue
        side = sides[step["by"]]
        before = copy.deepcopy(side.s)
        if action == "must_fail":
            assert failure_of(side.open, step.data("envelope"), now_ms) == step["error"], step.path
            assert side.s == before
            continue
        envelope, plaintext = sent[step["step"]]
        assert side.open(envelope, now_ms) == plaintext
        opened = step["opened_chain"]
        assert (side.s["root"] != before["root"]) == opened
        assert (opened and before["offer_private"] is not None) == step["kem_step"]
        assert side.s["steps"] == (0 if step["kem_step"] else before["steps"] + opened)
        assert side.s["root"] == step.data("root_key")


def check_sealing(file: Part) -> None:
    for part in file["sealings"]:
        seed, public, info, plaintext, sealed = part.data("seed", "public", "info", "plaintext", "sealed")
        draws = part.data("encapsulation", "ephemeral_private")
        assert list(hpke.x_wing_expand(seed)) == part.data("kem_seed", "x25519_private")
        assert hpke.x_wing_public(seed) == public
        kem_secret, kem_ciphertext = ml_kem.encapsulate(public[: ml_kem.PUBLIC_BYTES], draws[0])
        sent = x25519.public_of(draws[1])
        assert kem_ciphertext + sent == sealed[: hpke.ENC_BYTES]
        secrets = kem_secret, x25519.agree(draws[1], public[ml_kem.PUBLIC_BYTES :])
        assert list(secrets) == part.data("kem_secret", "x25519_secret")
        assert hpke.combined(*secrets, sent, public[ml_kem.PUBLIC_BYTES :]) == part.data("combined")
        shared, enc = hpke.x_wing_encapsulate(public, b"".join(draws))
        assert (shared, enc) == (part.data("shared_secret"), kem_ciphertext + sent)
        assert hpke.x_wing_decapsulate(seed, enc) == shared
        assert list(hpke.key_and_nonce(shared, info)) == part.data("key", "nonce")
        assert hpke.seal(public, info, plaintext, b"".join(draws)) == sealed
        assert hpke.unseal(seed, info, sealed) == plaintext
    seed, info = file["sealings"][0].data("seed", "info")
    for part in file["must_fail"]["opening"]:
        assert failure_of(hpke.unseal, seed, info, part.data("sealed")) == part["error"], part["name"]
    for part in file["must_fail"]["keys"]:
        assert failure_of(hpke.check, part.data("public")) == part["error"], part["name"]


CHECKS = {
    "sealing.json": check_sealing,
    "sessions.json": check_sessions,
    "ratchet_derivations.json": check_ratchet_derivations,
    "ratchet.json": check_ratchet,
}
