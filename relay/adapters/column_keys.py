"""The keys of sealed columns, in a file of their own: what a thief of the database alone cannot read (E2).

AES-256-GCM (NIST SP 800-38D) with a random nonce of 12 B. A sealed value is u32 key id ‖ nonce ‖ ciphertext ‖ 16 B tag, 32 B
longer than what is in it, and bound to its place: table, column and row. Knows no database.
docs/decisions/0025-sealed-columns.md.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from relay.ports.clock import Randomness
from relay.wire.links import decode_bytes, encode_bytes

from .data_folder import StartRefused, refusals, write_secret
from .secret_files import SecretExposed, refuse_exposed
from .system_clock import system_randomness

NAME: Final = "column.keys"
KEY_BYTES: Final = 32
ID_BYTES: Final = 4
NONCE_BYTES: Final = 12
OVERHEAD_BYTES: Final = ID_BYTES + NONCE_BYTES + 16
_MARK: Final = "tokenim-column-keys-v1"
_PLACE: Final = b"tokenim/sealed-column/v1\x00"
_MAX_KEYS: Final = 64


class NotOpened(Exception):
    """The value was sealed by a key that is not in the file, for another place, or it was changed."""


def key_id_of(sealed: bytes) -> int:
    """The id of the key that sealed it."""
    return int.from_bytes(sealed[:ID_BYTES], "big")


class ColumnKeys:
    """Keys by their ids, 1, 2, 3 …; the newest seals, or another one that is named; each opens what it sealed."""

    def __init__(self, keys: Mapping[int, bytes], random: Randomness = system_randomness) -> None:
        self._random = random
        self._keys: dict[int, bytes] = {}
        self._ciphers: dict[int, AESGCM] = {}
        self.replace(keys)

    def replace(self, keys: Mapping[int, bytes]) -> None:
        """These from now on."""
        self._keys = dict(keys)
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}

    @property
    def keys(self) -> Mapping[int, bytes]:
        """All of them, 32 B each."""
        return self._keys

    @property
    def current(self) -> int:
        """The id of the key that seals."""
        return max(self._keys)

    def seal(self, place: str, row: bytes, plain: bytes, *, by: int | None = None) -> bytes:
        """`plain` under the newest key or that of the id `by`, for this place (`table.column`) and row alone.

        Raises NotOpened if there is no such key.
        """
        key_id, nonce = self.current if by is None else by, self._random(NONCE_BYTES)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise NotOpened(f"{place} is sealed by key {key_id} now, which the key file does not have")
        head = key_id.to_bytes(ID_BYTES, "big")
        return head + nonce + cipher.encrypt(nonce, plain, _bound(place, row, head))

    def open(self, place: str, row: bytes, sealed: bytes) -> bytes:
        """What was sealed there. Raises NotOpened."""
        head, nonce = sealed[:ID_BYTES], sealed[ID_BYTES : ID_BYTES + NONCE_BYTES]
        cipher = self._ciphers.get(key_id_of(sealed))
        if cipher is None:
            raise NotOpened(
                f"{place} was sealed by key {key_id_of(sealed)}, which the key file does not have"
            )
        try:
            return cipher.decrypt(nonce, sealed[ID_BYTES + NONCE_BYTES :], _bound(place, row, head))
        except InvalidTag as error:
            raise NotOpened(f"{place} holds what was not sealed for it") from error


def _bound(place: str, row: bytes, head: bytes) -> bytes:
    """What a value is bound to. A place has no zero byte, and the id a fixed length, so no two are alike."""
    return _PLACE + place.encode() + b"\x00" + head + row


def read_keys(path: Path) -> dict[int, bytes]:
    """The keys in the file. Raises StartRefused."""
    with refusals(path):
        try:
            refuse_exposed(path)
        except SecretExposed as error:
            raise StartRefused(str(error)) from error
        lines = path.read_text("ascii", errors="replace").splitlines()
    return parse_keys(lines, path)


def parse_keys(lines: list[str], path: Path) -> dict[int, bytes]:
    """The keys in its lines. Raises StartRefused."""
    found: dict[int, bytes] = {}
    try:
        if lines[:1] != [_MARK] or not 2 <= len(lines) <= _MAX_KEYS:
            raise ValueError
        for line in lines[1:]:
            number, _, text = line.partition(" ")
            key_id, key = int(number), decode_bytes(text)
            if not 0 < key_id < 2 ** (8 * ID_BYTES) or len(key) != KEY_BYTES or key_id in found:
                raise ValueError
            found[key_id] = key
    except ValueError:
        raise StartRefused(
            f"{path}: damaged: put it back from a copy; without it what it sealed is lost"
        ) from None
    return found


def write_keys(path: Path, keys: Mapping[int, bytes]) -> None:
    """Durable and whole, mode 0600. Raises StartRefused."""
    lines = [_MARK, *(f"{key_id} {encode_bytes(key)}" for key_id, key in sorted(keys.items()))]
    with refusals(path):
        write_secret(path, "\n".join(lines) + "\n")


def add_key(path: Path, random: Randomness = system_randomness) -> int:
    """A new key in the file, beside the one that is there; its id. Raises StartRefused if there are several already."""
    keys = read_keys(path)
    if len(keys) > 1:
        ids = ", ".join(map(str, sorted(keys)))
        raise StartRefused(
            f"{path}: has several keys already ({ids}): finish that first: copy the file to each node, send SIGHUP to each, "
            "then `tokenim-relay keys rotate`, then copy the file again"
        )
    added = max(keys) + 1
    write_keys(path, {**keys, added: random(KEY_BYTES)})
    return added


def open_keys(path: Path, random: Randomness = system_randomness) -> ColumnKeys:
    """Those in the file, made with one key if there is none. Raises StartRefused."""
    if not path.exists():
        write_keys(path, {1: random(KEY_BYTES)})
    return ColumnKeys(read_keys(path), random)
