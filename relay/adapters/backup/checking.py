"""Whether a backup is whole: each file against the manifest's hash, each blob against the database's. Writes nothing."""

from collections.abc import Callable
from pathlib import Path

from relay.adapters.sqlite import snapshot

from .layout import DATABASE, KEY, MANIFEST, BackupRefused, Manifest, Part, blob_of, parse_manifest, reading


class Tally:
    """What was read of a backup so far; `verify` compares it with what should be there."""

    def __init__(self) -> None:
        self._parts: dict[str, Part] = {}
        self._blobs: dict[bytes, bytes] = {}

    def take(self, name: str, part: Part) -> None:
        """A file that was read to its end."""
        blob_id = blob_of(name)
        if blob_id is None:
            self._parts[name] = part
        else:
            self._blobs[blob_id] = bytes.fromhex(part.sha256)

    def verify_files(self, manifest: Manifest) -> None:
        """Raise BackupRefused unless these are the manifest's files, each with its hash."""
        if not {DATABASE, KEY} <= manifest.parts.keys():
            raise BackupRefused("the backup has no database or no key")
        for name, part in manifest.parts.items():
            if self._parts.get(name) != part:
                raise BackupRefused(f"the backup is damaged: {name} is not what was backed up")
        if self._parts.keys() != manifest.parts.keys():
            raise BackupRefused("there is a file in the backup that its manifest does not name")

    def verify_blobs(self, database: Path) -> set[bytes]:
        """Raise BackupRefused unless each blob that the database names is there as it should be; those it does not name."""
        unnamed = set(self._blobs)
        for blob in snapshot.complete_blobs(database):
            if self._blobs.get(blob.blob_id) != blob.sha256:
                raise BackupRefused("the backup is damaged: a blob is not what was backed up")
            unnamed.discard(blob.blob_id)
        return unnamed


def check_archive(file: Path, database: Path, told: Callable[[int], None]) -> Manifest:
    """The manifest of a backup that is whole; `database` is a copy of the one in it. Raises BackupRefused."""
    tally = Tally()
    manifest: Manifest | None = None
    done = 0
    with reading(file) as members:
        for name, stream in members:
            if name == MANIFEST:
                manifest = parse_manifest(stream.read())
                continue
            stream.drain()
            tally.take(name, stream.part)
            done += stream.bytes
            told(done)
    if manifest is None:
        raise BackupRefused(f"{file}: cut off, or not a backup of a relay")
    tally.verify_files(manifest)
    tally.verify_blobs(database)
    return manifest
