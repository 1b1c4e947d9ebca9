"""Epochs, log entries, sender chains and messages of groups; docs/protocol.md, "Epochs" to "Messages" and "Broadcast"."""

from typing import Any

from tests.oracle import ed25519
from tests.oracle.aes_gcm import gcm_open, gcm_seal
from tests.oracle.group_state import parse_state
from tests.oracle.padding import BUCKETS, pad, unpad
from tests.oracle.refusals import Waiting, failure_of, require
from tests.oracle.transcripts import hkdf, hmac256, number, sha256, split, transcript, u32, u64

HAND_OUT_BYTES = (1, 32, 8, 4, 32, 32, 32)
CHAIN_BYTES = (1, 32, 8, 32, 12, 4, 32, 32)


def epoch_keys(group_id: bytes, epoch: int, step: int, cut_hash: bytes, secret: bytes) -> dict[str, Any]:
    info = transcript(b"tokenim/v1 epoch keys\0", group_id, u64(epoch), u32(step))
    header, entry, read_token = split(hkdf(cut_hash, secret, info, 96), 32, 32, 32)
    names = {"group_id": group_id, "epoch": epoch, "step": step, "cut_hash": cut_hash, "secret": secret}
    return names | {"header": header, "entry": entry, "read_token": read_token}


def commitment_of(group_id: bytes, secret: bytes) -> bytes:
    return sha256(transcript(b"tokenim/v1 epoch commitment\0", group_id, secret))


def next_secret(group_id: bytes, epoch: int, step: int, state_hash: bytes, secret: bytes) -> bytes:
    info = transcript(b"tokenim/v1 epoch step\0", group_id, u64(epoch), u32(step))
    return hkdf(state_hash, secret, info, 32)


def epoch_hand_out(keys: dict[str, Any], write_seed: bytes) -> bytes:
    """What tells an epoch's secret; without a write seed it holds zeros."""
    where = keys["group_id"] + u64(keys["epoch"]) + u32(keys["step"]) + keys["cut_hash"]
    return b"\x01" + where + keys["secret"] + (write_seed or bytes(32))


def parse_hand_out(data: bytes) -> tuple[dict[str, Any], bytes]:
    """(Keys of the epoch, write seed or nothing)."""
    suite, group_id, epoch, step, cut_hash, secret, seed = split(data, *HAND_OUT_BYTES)
    require(suite == b"\x01" and number(epoch) < 2**53, "suite or epoch")
    return epoch_keys(group_id, number(epoch), number(step), cut_hash, secret), seed if any(seed) else b""


def welcome(hand_out: bytes, next_entry: int, state: bytes) -> bytes:
    return hand_out + u64(next_entry) + state


def parse_welcome(data: bytes) -> tuple[dict[str, Any], bytes, int, dict[str, Any]]:
    """Keys, write seed, index of the next entry, state; whether the parts fit, its reader checks."""
    keys, seed = parse_hand_out(data[:141])
    return keys, seed, number(data[141:149]), parse_state(data[149:])


# The log


def entry_ad(group_id: bytes, index: int) -> bytes:
    return transcript(b"tokenim/v1 group log entry\0", group_id, u64(index))


def seal_entry(keys: dict[str, Any], index: int, commit: bytes, nonce: bytes) -> bytes:
    """`commit` is signature ‖ body."""
    padded = pad(commit, 1 + 12 + 16)
    return b"\x01" + nonce + gcm_seal(keys["entry"], nonce, padded, entry_ad(keys["group_id"], index))


def open_entry(keys: dict[str, Any], index: int, entry: bytes) -> tuple[bytes, bytes]:
    """(Signature, body) of an entry."""
    require(entry[:1] == b"\x01" and len(entry) in BUCKETS, "shape")
    content = unpad(gcm_open(keys["entry"], entry[1:13], entry[13:], entry_ad(keys["group_id"], index)))
    return content[:64], content[64:]


# Chains and messages


def chain_step(chain_key: bytes) -> tuple[bytes, bytes]:
    """(Message key, next chain key)."""
    label = b"tokenim/v1 group chain\0"
    return hmac256(chain_key, label + b"\1"), hmac256(chain_key, label + b"\2")


def chain_hand_out(chain: dict[str, Any]) -> bytes:
    where = chain["group_id"] + u64(chain["epoch"]) + chain["cut_hash"] + chain["chain_id"]
    return b"\x01" + where + u32(chain["iteration"]) + chain["chain_key"] + chain["public"]


def parse_chain(data: bytes) -> dict[str, Any]:
    suite, group_id, epoch, cut_hash, chain_id, iteration, chain_key, public = split(data, *CHAIN_BYTES)
    require(suite == b"\x01" and number(epoch) < 2**53, "suite or epoch")
    ed25519.check(public)
    return {
        "group_id": group_id,
        "epoch": number(epoch),
        "cut_hash": cut_hash,
        "chain_id": chain_id,
        "iteration": number(iteration),
        "chain_key": chain_key,
        "public": public,
    }


def bound_to(chain: dict[str, Any], account: bytes, device: bytes, iteration: int) -> list[bytes]:
    where = [chain["group_id"], u64(chain["epoch"]), chain["cut_hash"]]
    return [*where, account, device, chain["chain_id"], u32(iteration)]


def require_shape(envelope: bytes) -> None:
    require(len(envelope) in BUCKETS and envelope[:2] == b"\x03\x01", "shape")


def open_header(envelope: bytes, header_key: bytes) -> tuple[bytes, bytes, int]:
    """(Device, chain id, iteration)."""
    require_shape(envelope)
    header = gcm_open(header_key, envelope[2:14], envelope[14:62], b"\x03\x01")
    device, chain_id, iteration = split(header, 16, 12, 4)
    return device, chain_id, number(iteration)


def message_key(chain: dict[str, Any], iteration: int) -> bytes:
    """From the chain as it was handed out, step by step."""
    require(iteration >= chain["iteration"], "before the hand-out", "Replayed")
    require(iteration - chain["iteration"] <= 10_000, "iteration", "TooFarAhead")
    key = chain["chain_key"]
    for _ in range(iteration - chain["iteration"]):
        _, key = chain_step(key)
    return chain_step(key)[0]


def bound(envelope: bytes, fields: list[bytes]) -> tuple[bytes, bytes]:
    """Associated data of the body, and what is signed."""
    ad = transcript(b"tokenim/v1 group message\0", *fields, envelope[:62])
    return ad, transcript(b"tokenim/v1 group signature\0", *fields, sha256(envelope[:-64]))


def open_message(envelope: bytes, header_key: bytes, chain: dict[str, Any], account: bytes) -> bytes:
    device, chain_id, iteration = open_header(envelope, header_key)
    require(chain_id == chain["chain_id"], "chain", "ChainMissing")
    ad, signed = bound(envelope, bound_to(chain, account, device, iteration))
    ed25519.verify(chain["public"], signed, envelope[-64:])
    return unpad(gcm_open(message_key(chain, iteration), envelope[2:14], envelope[62:-64], ad))


def received(envelope: bytes, header_keys: list[bytes], chain: dict[str, Any], account: bytes) -> bytes:
    """As who knows these epochs opens it: a header of another one waits."""
    require_shape(envelope)
    opened = [key for key in header_keys if failure_of(open_header, envelope, key) is None]
    if not opened:
        raise Waiting("an epoch")
    return open_message(envelope, opened[0], chain, account)


def seal_message(
    text: bytes,
    header_key: bytes,
    chain: dict[str, Any],
    sender: tuple[bytes, bytes],
    seed: bytes,
    nonce: bytes,
) -> bytes:
    """The envelope of the chain's present iteration, which the caller moves on."""
    plain = sender[1] + chain["chain_id"] + u32(chain["iteration"])
    start = b"\x03\x01" + nonce + gcm_seal(header_key, nonce, plain, b"\x03\x01")
    fields = bound_to(chain, *sender, chain["iteration"])
    ad = transcript(b"tokenim/v1 group message\0", *fields, start)
    start += gcm_seal(message_key(chain, chain["iteration"]), nonce, pad(text, 62 + 16 + 64), ad)
    signed = transcript(b"tokenim/v1 group signature\0", *fields, sha256(start))
    return start + ed25519.sign(seed, signed)
