"""A second implementation of groups, from docs/protocol.md alone: naive, slow, and with no code of `crypto`.

States are dictionaries; each thing is derived anew. Ed25519 is Python's integers; AES-GCM comes from a library.
"""

import hashlib
import hmac
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.oracle import ed25519
from tests.oracle.ratchet import BUCKETS, hkdf, transcript

HEAR, SEND, COMMITTING = 1, 2, 4 | 8 | 16 | 32 | 64 | 128
ROLE_RIGHTS = {1: 1, 2: 3, 3: 319, 4: 511, 5: 511}
OWNER = 5


class Skipped(Exception):
    """An entry that every member skips."""


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def u64(value: int) -> bytes:
    return value.to_bytes(8, "big")


def fields_of(label: bytes, data: bytes) -> list[bytes]:
    if not data.startswith(label + b"\x01"):
        raise Skipped("another label")
    fields, at = [], len(label) + 1
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            raise Skipped("cut")
        fields.append(data[at + 4 : end])
        at = end
    return fields


def epoch_keys(group_id: bytes, epoch: int, step: int, cut_hash: bytes, secret: bytes) -> dict[str, bytes]:
    info = transcript(b"tokenim/v1 epoch keys\0", group_id, u64(epoch), u32(step))
    out = hkdf(cut_hash, secret, info, 96)
    return {"header": out[:32], "entry": out[32:64], "read_token": out[64:]}


def commitment_of(group_id: bytes, secret: bytes) -> bytes:
    return sha256(transcript(b"tokenim/v1 epoch commitment\0", group_id, secret))


def next_secret(group_id: bytes, epoch: int, step: int, state_hash: bytes, secret: bytes) -> bytes:
    info = transcript(b"tokenim/v1 epoch step\0", group_id, u64(epoch), u32(step))
    return hkdf(state_hash, secret, info, 32)


def unpad(padded: bytes) -> bytes:
    length = int.from_bytes(padded[:4], "big")
    if padded[4 + length :].strip(b"\0") or 4 + length > len(padded):
        raise Skipped("padding")
    return padded[4 : 4 + length]


def gcm_open(key: bytes, nonce: bytes, sealed: bytes, ad: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce, sealed, ad)
    except (InvalidTag, ValueError):
        raise Skipped("does not open") from None


# States


def encode_state(state: dict[str, Any]) -> bytes:
    members = b"".join(
        account
        + u64(each["version"])
        + bytes((each["role"],))
        + u32(each["wants"])
        + u32(each["given"])
        + u64(each["since"])
        + u64(each["asked"])
        for account, each in sorted(state["members"].items())
    )
    settings = b"".join(
        bytes((len(name), critical)) + len(value).to_bytes(2, "big") + name + value
        for name, (value, critical) in sorted(state["settings"].items())
    )
    return transcript(
        b"tokenim/v1 group state\0",
        state["group_id"],
        u64(state["index"]),
        state["previous"],
        u64(state["epoch"]),
        u32(state["step"]),
        u64(state["cut_at"]),
        state["commitment"],
        state["cut_hash"],
        members,
        b"".join(sorted(state["banned"])),
        settings,
    )


def rights(member: dict[str, int]) -> int:
    return member["wants"] & member["given"] & ROLE_RIGHTS[member["role"]]


def may_commit(member: dict[str, int]) -> bool:
    return bool(rights(member) & COMMITTING and rights(member) & HEAR)


def require(holds: object, why: str) -> None:
    if not holds:
        raise Skipped(why)


def apply_change(
    change: bytes, members: Any, state: dict[str, Any], committer: Any, me: bytes, epoch: int
) -> bool:
    """Change `members` and the rest of `state`; True if a device left."""
    kind, body = change[0], change[1:]
    needed = {1: 4, 2: 8, 3: 64, 4: 32, 5: 16, 6: 16, 7: 128, 8: 0, 9: 0}[kind]
    require(rights(committer) & needed == needed, "right")
    account = body[:32]
    outranks = account in members and (
        committer["role"] == OWNER or members[account]["role"] < committer["role"]
    )
    if kind == 1:
        version, role = int.from_bytes(body[32:40], "big"), body[40]
        wants, given = int.from_bytes(body[41:45], "big"), int.from_bytes(body[45:49], "big")
        require(account not in members and account not in state["banned"], "is there")
        require(not given & ~ROLE_RIGHTS[role] and version, "impossible")
        appoints = rights(committer) & 64 and (role < committer["role"] or committer["role"] == OWNER)
        require(role <= 2 or appoints, "role")
        members[account] = {
            "version": version,
            "role": role,
            "wants": wants,
            "given": given,
            "since": epoch,
            "asked": 0,
        }
    elif kind in (2, 5):
        require(kind == 5 or account in members, "not there")
        require(account not in state["banned"], "banned")
        if account in members:
            require(outranks and account != me, "rank")
            del members[account]
        if kind == 5:
            state["banned"].add(account)
    elif kind == 3:
        role = body[32]
        require(account in members and (outranks or account == me), "rank")
        require(role < committer["role"] or committer["role"] == OWNER, "role")
        members[account] |= {"role": role, "given": ROLE_RIGHTS[role]}
    elif kind == 4:
        given = int.from_bytes(body[32:36], "big")
        require(outranks and not given & ~ROLE_RIGHTS[members[account]["role"]], "rank")
        members[account]["given"] = given
    elif kind == 6:
        require(account in state["banned"], "not banned")
        state["banned"].remove(account)
    elif kind == 7:
        name, value = body[4 : 4 + body[0]], body[4 + body[0] :]
        require(value or name in state["settings"], "no setting")
        if value:
            state["settings"][name] = value, body[1]
        else:
            del state["settings"][name]
    elif kind == 8:
        version = int.from_bytes(body[32:40], "big")
        require(account in members and members[account]["version"] < version, "version")
        members[account]["version"] = version
        return bool(body[40])
    else:
        group, asker, _, since, what, value, at = fields_of(b"tokenim/v1 group request\0", body[64:])
        member = members.get(asker)
        require(member and group == state["group_id"], "who")
        require(int.from_bytes(since, "big") == member["since"], "since")
        require(int.from_bytes(at, "big") > member["asked"], "asked")
        if what == b"\x01":
            require(asker != me, "itself")
            del members[asker]
        else:
            member |= {"wants": int.from_bytes(value, "big"), "asked": int.from_bytes(at, "big")}
    return False


def apply_commit(state: dict[str, Any] | None, body: bytes) -> dict[str, Any]:
    """The next state; signatures are checked by the caller, who knows the keys."""
    fields = fields_of(b"tokenim/v1 group commit\0", body)
    (form, kind), group_id, previous, me, _, version, at, commitment, *changes = fields
    require(form == 1 and kind in (0, 1, 2) and (len(commitment) == 32) == (kind == 1), "form")
    old = state["members"] if state else {}
    everything = {"role": OWNER, "wants": 511, "given": 511}
    committer = old.get(me) if state else everything
    require(previous == (sha256(encode_state(state)) if state else b""), "outdated")
    require(committer and may_commit(committer), "entitled")
    new: dict[str, Any] = {
        "group_id": group_id,
        "banned": set(state["banned"]) if state else set(),
        "settings": dict(state["settings"]) if state else {},
    }
    epoch = (state["epoch"] if state else 0) + (kind == 1)
    members = {account: dict(member) for account, member in old.items()}
    left = False
    for change in changes:
        if state is None and change[0] == 1 and change[1:33] == me and me not in members:
            members[me] = {
                "version": int.from_bytes(version, "big"),
                "role": OWNER,
                "asked": 0,
                "since": epoch,
            }
            members[me] |= {"wants": int.from_bytes(change[42:46], "big"), "given": ROLE_RIGHTS[OWNER]}
            continue
        left = apply_change(change, members, new, committer, me, epoch) or left
    require(members[me]["version"] == int.from_bytes(version, "big") and may_commit(members[me]), "own")
    require(any(member["role"] == OWNER for member in members.values()), "owner")
    gone = any(account not in members or rights(old[account]) & ~rights(members[account]) for account in old)
    came = any(
        rights(member) & HEAR and not rights(old.get(account, member | {"wants": 0})) & HEAR
        for account, member in members.items()
    ) or any(change[0] == 8 for change in changes)
    broadcast = bool(state) and state["settings"].get(b"broadcast", (b"", 0))[0] == b"\x01"
    wanted = 1 if gone or left or not state else 2 if came and broadcast else 0
    require(kind in (1, wanted), "kind")
    old_cut = (state["cut_hash"] or previous) if state else b""
    return new | {
        "index": state["index"] + 1 if state else 0,
        "previous": previous,
        "epoch": epoch,
        "step": 0 if kind == 1 or not state else state["step"] + (kind == 2),
        "cut_at": int.from_bytes(at, "big") if kind == 1 or not state else state["cut_at"],
        "commitment": commitment if kind == 1 or not state else state["commitment"],
        "cut_hash": b"" if kind == 1 else old_cut,
        "members": members,
    }


def open_entry(key: bytes, group_id: bytes, index: int, entry: bytes) -> tuple[bytes, bytes]:
    """(Signature, body) of an entry."""
    require(entry[:1] == b"\x01" and len(entry) in BUCKETS, "shape")
    ad = transcript(b"tokenim/v1 group log entry\0", group_id, u64(index))
    content = unpad(gcm_open(key, entry[1:13], entry[13:], ad))
    return content[:64], content[64:]


# Messages


def chain_step(chain_key: bytes) -> tuple[bytes, bytes]:
    label = b"tokenim/v1 group chain\0"
    first, second = (hmac.new(chain_key, label + end, hashlib.sha256).digest() for end in (b"\1", b"\2"))
    return first, second


def parse_chain(data: bytes) -> dict[str, Any]:
    return {
        "group_id": data[1:33],
        "epoch": data[33:41],
        "cut_hash": data[41:73],
        "chain_id": data[73:85],
        "iteration": int.from_bytes(data[85:89], "big"),
        "chain_key": data[89:121],
        "public": data[121:153],
    }


def bound_to(chain: dict[str, Any], account: bytes, device: bytes, iteration: int) -> list[bytes]:
    return [
        chain["group_id"],
        chain["epoch"],
        chain["cut_hash"],
        account,
        device,
        chain["chain_id"],
        u32(iteration),
    ]


def open_message(envelope: bytes, header_key: bytes, chain: dict[str, Any], account: bytes) -> bytes:
    require(len(envelope) in BUCKETS and envelope[:2] == b"\x03\x01", "shape")
    nonce = envelope[2:14]
    header = gcm_open(header_key, nonce, envelope[14:62], b"\x03\x01")
    device, iteration = header[:16], int.from_bytes(header[28:], "big")
    require(header[16:28] == chain["chain_id"] and iteration >= chain["iteration"], "chain")
    fields = bound_to(chain, account, device, iteration)
    signed = transcript(b"tokenim/v1 group signature\0", *fields, sha256(envelope[:-64]))
    require(ed25519.verifies(chain["public"], signed, envelope[-64:]), "signature")
    key = chain["chain_key"]
    for _ in range(iteration - chain["iteration"]):
        _, key = chain_step(key)
    ad = transcript(b"tokenim/v1 group message\0", *fields, envelope[:62])
    return unpad(gcm_open(chain_step(key)[0], nonce, envelope[62:-64], ad))


def seal_message(
    text: bytes,
    header_key: bytes,
    chain: dict[str, Any],
    account: bytes,
    device: bytes,
    seed: bytes,
    nonce: bytes,
) -> bytes:
    """The envelope of the chain's present iteration."""
    iteration = chain["iteration"]
    plain = device + chain["chain_id"] + u32(iteration)
    start = b"\x03\x01" + nonce + AESGCM(header_key).encrypt(nonce, plain, b"\x03\x01")
    size = min(bucket for bucket in BUCKETS if bucket >= 62 + 4 + len(text) + 16 + 64)
    fields = bound_to(chain, account, device, iteration)
    padded = (u32(len(text)) + text).ljust(size - 62 - 16 - 64, b"\0")
    ad = transcript(b"tokenim/v1 group message\0", *fields, start)
    start += AESGCM(chain_step(chain["chain_key"])[0]).encrypt(nonce, padded, ad)
    signed = transcript(b"tokenim/v1 group signature\0", *fields, sha256(start))
    return start + ed25519.sign(seed, signed)
