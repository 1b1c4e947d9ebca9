"""The relay's log as clients check it; docs/protocol.md, "Transparency", RFC 6962 and RFC 9162."""

from tests.oracle import ed25519
from tests.oracle.refusals import require
from tests.oracle.transcripts import fields_of, sha256, split, transcript, u64

HEAD = b"tokenim/v1 log head\0"


def leaf(kind: int, subject: bytes, version: int, value_hash: bytes) -> bytes:
    return transcript(b"tokenim/v1 log leaf\0", bytes((kind,)), subject, u64(version), value_hash)


def handle_leaf(salt: bytes, handle: str, version: int, account: bytes) -> tuple[bytes, bytes]:
    """(Salted hash, leaf); `account` is empty for a handle that was given back."""
    subject = sha256(transcript(b"tokenim/v1 log handle\0", salt, handle.encode()))
    return subject, leaf(2, subject, version, sha256(account))


def encode_inclusion(index: int, path: list[bytes], signed_head: bytes) -> bytes:
    return u64(index) + bytes((len(path),)) + b"".join(path) + signed_head


def parse_head(signed: bytes) -> list[bytes]:
    """Log id, size, root, time, of a head whose signature is not looked at."""
    fields = fields_of(HEAD, signed[64:])
    require([len(field) for field in fields] == [32, 8, 32, 8], "fields")
    return fields


def parse_inclusion(data: bytes) -> tuple[int, list[bytes], bytes]:
    """Index, path, signed head."""
    require(len(data) >= 9 and data[8] <= 53, "hashes")
    at = 9 + 32 * data[8]
    require(at <= len(data), "length")
    parse_head(data[at:])
    path = [data[start : start + 32] for start in range(9, at, 32)]
    return int.from_bytes(data[:8], "big"), path, data[at:]


def parse_gossip(data: bytes) -> list[bytes]:
    """Own version and hash, the other's, and a signed head or nothing."""
    parts = split(data, 8, 32, 8, 32, max(0, len(data) - 80))
    if parts[4]:
        parse_head(parts[4])
    return parts


def head(log_id: bytes, size: int, root: bytes, time_ms: int) -> bytes:
    return transcript(HEAD, log_id, u64(size), root, u64(time_ms))


def verify_head(signed: bytes, relay_public: bytes) -> list[bytes]:
    """Log id, size, root, time."""
    ed25519.verify(relay_public, signed[64:], signed[:64])
    return fields_of(HEAD, signed[64:])


def _middle(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def root_of(leaves: list[bytes]) -> bytes:
    """The Merkle tree hash of RFC 6962, section 2.1."""
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0])
    middle = _middle(len(leaves))
    return sha256(b"\1" + root_of(leaves[:middle]) + root_of(leaves[middle:]))


def inclusion(index: int, leaves: list[bytes]) -> list[bytes]:
    """The audit path of section 2.1.1."""
    if len(leaves) == 1:
        return []
    middle = _middle(len(leaves))
    if index < middle:
        return [*inclusion(index, leaves[:middle]), root_of(leaves[middle:])]
    return [*inclusion(index - middle, leaves[middle:]), root_of(leaves[:middle])]


def consistency(older: int, leaves: list[bytes], whole: bool = True) -> list[bytes]:
    """The proof of section 2.1.2; none from an empty tree, nor from one to itself."""
    if older in (0, len(leaves)):
        return [] if whole or not older else [root_of(leaves)]
    middle = _middle(len(leaves))
    if older <= middle:
        return [*consistency(older, leaves[:middle], whole), root_of(leaves[middle:])]
    return [*consistency(older - middle, leaves[middle:], False), root_of(leaves[:middle])]


def require_inclusion(of_leaf: bytes, index: int, path: list[bytes], signed: bytes, relay: bytes) -> None:
    """The leaf stands at this index of the log of the head."""
    _, size, root, _ = verify_head(signed, relay)
    led = root_from_path(of_leaf, index, int.from_bytes(size, "big"), path)
    require(led == root, "another root", "LogRefused")


def _roots(older: int, size: int, path: list[bytes], root: bytes, whole: bool) -> tuple[bytes, bytes]:
    """The older and the newer root that a consistency proof leads to, by the recursion that makes it."""
    if older == size:
        require(len(path) == (0 if whole else 1), "length", "LogSplit")
        return (root, root) if whole else (path[0], path[0])
    require(path, "too short", "LogSplit")
    middle = _middle(size)
    if older <= middle:
        old, new = _roots(older, middle, path[:-1], root, whole)
        return old, sha256(b"\1" + new + path[-1])
    old, new = _roots(older - middle, size - middle, path[:-1], root, False)
    return sha256(b"\1" + path[-1] + old), sha256(b"\1" + path[-1] + new)


def follow(known: bytes | None, signed: bytes, path: list[bytes], relay_public: bytes) -> None:
    """A signed head after the one that was known."""
    fields = verify_head(signed, relay_public)
    require(len(fields) == 4, "fields")
    if known is None or fields_of(HEAD, known[64:])[0] != fields[0]:
        return
    before, after = (
        [int.from_bytes(each) for each in of[1::2]] + [of[2]] for of in (fields_of(HEAD, known[64:]), fields)
    )
    require(not (after[1] > before[1] and after[0] < before[0]), "rolled back", "LogSplit")
    (older, _, old), (size, _, new) = sorted((before, after))
    if older == 0:
        require(not path, "length", "LogSplit")
        return
    require(_roots(older, size, path, old, True) == (old, new), "split", "LogSplit")


def root_from_path(of_leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """The root that an inclusion proof leads to, by the same recursion."""
    require(index < size, "index", "LogRefused")
    if size == 1:
        require(not path, "too long", "LogRefused")
        return sha256(b"\0" + of_leaf)
    require(path, "too short", "LogRefused")
    middle = _middle(size)
    if index < middle:
        return sha256(b"\1" + root_from_path(of_leaf, index, middle, path[:-1]) + path[-1])
    return sha256(b"\1" + path[-1] + root_from_path(of_leaf, index - middle, size - middle, path[:-1]))
