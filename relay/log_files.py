"""The relay's two logs read straight from its files, whether a relay runs on them or not: verified, and exported.

A second composition root beside app.py, without what a server needs: it knows which database there is.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from relay.adapters.audit_export import export_audit_file, verify_audit_file
from relay.adapters.data_folder import DataFolder, StartRefused
from relay.adapters.sqlite.log_audit import LogVerdict, audit_log
from relay.adapters.sqlite.store import StoreUnusable
from relay.adapters.system_clock import system_randomness
from relay.config import Settings
from relay.services.audit_check import AuditVerdict
from relay.services.transparency import open_head
from relay.session.proof import RelayKey


def verify_log(settings: Settings, heads: Sequence[bytes]) -> LogVerdict:
    """What does not fit between the transparency log, signed heads of it, and the accounts.

    Raises StartRefused, MalformedRequest for what is no head of this relay.
    """
    with _files_of(settings) as (database, public):
        return audit_log(database, [open_head(head, public) for head in heads])


def verify_audit(settings: Settings, heads: Sequence[bytes]) -> AuditVerdict:
    """What does not fit in the audit log, and between it and signed heads of it. Raises StartRefused."""
    with _files_of(settings) as (database, public):
        return verify_audit_file(database, public, heads)


def export_audit(settings: Settings, to: Path) -> int:
    """Write the audit log to a new file; how many rows. Raises StartRefused, FileExistsError, OSError."""
    with _files_of(settings) as (database, public):
        return export_audit_file(database, public, to)


@contextmanager
def _files_of(settings: Settings) -> Iterator[tuple[Path, bytes]]:
    """The database, and the 32 B key that signs; raises StartRefused where there is none, or it cannot be read."""
    folder = DataFolder(settings.data_folder)
    for path in (folder.database, folder.key_file):
        if not path.exists():
            raise StartRefused(
                f"{path}: there is no such file: correct --data, or start the relay first", exit_code=2
            )
    try:
        yield folder.database, RelayKey(folder.signing_seed(system_randomness)).public
    except StoreUnusable as error:
        raise StartRefused(str(error)) from error
