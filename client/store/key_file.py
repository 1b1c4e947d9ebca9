"""The key of the store, in a file that its owner alone can read, bare or wrapped by a passphrase.

Bare, the file protects a copy of the store without the folder (a backup of it, a stolen database file), and nobody who
has the folder. Wrapped (Argon2id), the folder alone opens nothing. docs/threat-model.md says it in plain words.
"""

import os
import stat
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from client.errors import LoosePermissions, NoAccount, StoreDamaged, WrongPassphrase
from crypto.errors import Undecryptable
from crypto.primitives import RandomBytes, aes256gcm_open, aes256gcm_seal, argon2id

KEY_BYTES = 32
KEY_FILE_NAME = "key"
_SALT_BYTES = 16
_NONCE_BYTES = 12
_MEMORY_KIB = 65_536  # 64 MiB, RFC 9106 section 4, second recommended option
_PASSES = 3
_LANES = 4
_LABEL = b"tokenim/v1 client store key\x00"
_MAX_FILE_BYTES = 4_096


class _Bare(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="bare"):
    key: Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]

    def __repr__(self) -> str:
        return "_Bare(…)"


class _Wrapped(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="argon2id"):
    salt: Annotated[bytes, Meta(min_length=_SALT_BYTES, max_length=_SALT_BYTES)]
    memory_kib: Annotated[int, Meta(ge=8_192, le=4_194_304)]
    passes: Annotated[int, Meta(ge=1, le=64)]
    lanes: Annotated[int, Meta(ge=1, le=64)]
    nonce: Annotated[bytes, Meta(min_length=_NONCE_BYTES, max_length=_NONCE_BYTES)]
    sealed: Annotated[bytes, Meta(min_length=KEY_BYTES + 16, max_length=KEY_BYTES + 16)]


_decoder: "msgspec.json.Decoder[_Bare | _Wrapped]" = msgspec.json.Decoder(_Bare | _Wrapped)


def require_private(path: Path) -> None:
    """Raise LoosePermissions if anybody but the owner has any right to this file or folder."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        wanted = "700" if path.is_dir() else "600"
        raise LoosePermissions(f"others can read {path}: run `chmod {wanted} {path}`")


def write_private(path: Path, content: bytes) -> None:
    """Put `content` at `path` with mode 0600, whole or not at all, also after power loss."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def create_key(home: Path, passphrase: str | None, random: RandomBytes) -> bytes:
    """A fresh 32 B key, kept in `home`."""
    key = random(KEY_BYTES)
    record: _Bare | _Wrapped
    if passphrase is None:
        record = _Bare(key)
    else:
        salt, nonce = random(_SALT_BYTES), random(_NONCE_BYTES)
        wrapping = argon2id(passphrase.encode(), salt, memory_kib=_MEMORY_KIB, passes=_PASSES, lanes=_LANES)
        sealed = aes256gcm_seal(wrapping, nonce, key, _LABEL)
        record = _Wrapped(salt, _MEMORY_KIB, _PASSES, _LANES, nonce, sealed)
    write_private(home / KEY_FILE_NAME, msgspec.json.encode(record))
    return key


def load_key(home: Path, passphrase: str | None) -> bytes:
    """The key in `home`.

    Raises NoAccount without a key file, LoosePermissions, StoreDamaged, and WrongPassphrase also if one is needed and
    none is given, or one is given and none is needed.
    """
    path = home / KEY_FILE_NAME
    try:
        require_private(path)
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES)
    except FileNotFoundError as error:
        raise NoAccount(f"no account in {home}: register there first") from error
    try:
        record = _decoder.decode(content)
    except (msgspec.DecodeError, RecursionError) as error:
        raise StoreDamaged(f"{path} is not a key file: put the right one back") from error
    if isinstance(record, _Bare):
        if passphrase is not None:
            raise WrongPassphrase(f"the key in {home} has no passphrase")
        return record.key
    if passphrase is None:
        raise WrongPassphrase(f"the key in {home} needs its passphrase")
    wrapping = argon2id(
        passphrase.encode(),
        record.salt,
        memory_kib=record.memory_kib,
        passes=record.passes,
        lanes=record.lanes,
    )
    try:
        return aes256gcm_open(wrapping, record.nonce, record.sealed, _LABEL)
    except Undecryptable as error:
        raise WrongPassphrase("this passphrase does not open the key") from error
