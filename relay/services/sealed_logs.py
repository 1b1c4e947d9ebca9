"""Sealed logs: who may append and read, in which order entries stand, and who hears of it. Knows no entry's contents.

Account logs belong to an account: its devices hear of each new entry. Group logs belong to nobody: no account, device or
connection comes near them here. Of a group log, "there is none", "wrong token" and "wrong signature" are one answer by the
same steps. docs/protocol.md, "Sealed logs".
"""

import hashlib
import hmac
import re
from typing import Final

from relay.config import LimitSettings
from relay.ports.bus import Bus, LogAdvanced
from relay.ports.clock import Clock
from relay.ports.sealed_logs import (
    AccountLogStore,
    Appended,
    GroupAppend,
    GroupLogStore,
    LogPage,
    LogQuota,
    PageSize,
)
from relay.services.devices import KnownDevice
from relay.services.read_only import NotedUnlessReadOnly
from relay.session.proof import is_ed25519_key, verify_as
from relay.wire import limits
from relay.wire.errors import MalformedRequest, NotAllowed, NotFound, Unauthenticated
from relay.wire.log_resources import GroupLogAppendRequest, GroupLogRequest
from relay.wire.transcripts import log_append_transcript

DAY_MS: Final = 86_400_000
TRIMMED_AT_ONCE: Final = 100
"""Entries of one transaction; others commit between two."""

_NAME: Final = re.compile(rf"[a-z]{{1,{limits.MAX_LOG_NAME_CHARACTERS}}}")
_PAGE: Final = PageSize(limits.MAX_LOG_ANSWER_ENTRIES, limits.MAX_LOG_ANSWER_BYTES)
_NO_HASH: Final = bytes(limits.HASH_BYTES)


def used_since_day(now_ms: int, idle_seconds: int) -> int:
    """The first day (since 1970) of a use that keeps a group log alive until now."""
    return (now_ms - idle_seconds * 1_000) // DAY_MS


class SealedLogs:
    """The logs of this relay."""

    def __init__(
        self,
        accounts: AccountLogStore,
        groups: GroupLogStore,
        *,
        bus: Bus,
        clock: Clock,
        settings: LimitSettings,
    ) -> None:
        self._accounts = accounts
        self._groups = groups
        self._bus = bus
        self._clock = clock
        self.change(settings)

    def change(self, settings: LimitSettings) -> None:
        """Other limits from now on."""
        self._account_quota = LogQuota(limits.ACCOUNT_LOG_ENTRIES, settings.account_log_bytes)
        self._group_quota = LogQuota(limits.GROUP_LOG_ENTRIES, settings.group_log_bytes)
        self._idle_seconds = settings.group_log_idle_seconds

    # Account logs

    async def append(self, device: KnownDevice, name: str, index: int, entry: bytes) -> Appended:
        """Put the entry at the end; the account's other devices hear of it.

        Raises NotFound (not a name), Conflict, QuotaExceeded.
        """
        appended = await self._accounts.append(
            device.account_id,
            _checked(name),
            index,
            entry,
            now_ms=self._clock.now_ms(),
            quota=self._account_quota,
            max_logs=limits.MAX_ACCOUNT_LOGS,
        )
        if appended.is_new:
            self._bus.publish(LogAdvanced(device.account_id, name, index + 1, device.device_id))
        return appended

    async def read(self, device: KnownDevice, name: str, from_index: int) -> LogPage:
        """A page of the log from this index on; raises NotFound (no name)."""
        return await self._accounts.read(device.account_id, _checked(name), from_index=from_index, size=_PAGE)

    async def trim(self, device: KnownDevice, name: str, before: int) -> None:
        """Remove what stands below `before`, a bounded piece a commit. Raises NotFound (no name), Conflict."""
        _checked(name)
        removed = TRIMMED_AT_ONCE
        while removed == TRIMMED_AT_ONCE:
            removed = await self._accounts.trim(device.account_id, name, before=before, limit=TRIMMED_AT_ONCE)

    # Group logs

    async def create_group(self, request: GroupLogRequest) -> Appended:
        """A new log; the caller has counted it. Nothing of who asked goes further. Raises MalformedRequest, Conflict."""
        first = GroupAppend(
            request.log_id,
            0,
            request.entry,
            hashlib.sha256(
                _signed(request.log_id, request, request.write_key, request.read_token_hash)
            ).digest(),
            request.write_key,
            request.read_token_hash,
        )
        _check_key(request.write_key)
        return await self._groups.create(first, now_ms=self._clock.now_ms())

    async def append_group(self, log_id: bytes, request: GroupLogAppendRequest) -> Appended:
        """Put the entry at the end, if the write key signed it. Raises MalformedRequest, NotAllowed, Conflict, QuotaExceeded."""
        if request.next_write_key is not None:
            _check_key(request.next_write_key)
        now_ms = self._clock.now_ms()
        signed = _signed(log_id, request, request.next_write_key, request.next_read_token_hash)
        key = await self._groups.write_key(
            log_id, request.index, used_since_day=used_since_day(now_ms, self._idle_seconds)
        )
        try:
            verify_as(key, signed, request.signature)
        except Unauthenticated as error:
            raise NotAllowed from error
        append = GroupAppend(
            log_id,
            request.index,
            request.entry,
            hashlib.sha256(signed).digest(),
            request.next_write_key,
            request.next_read_token_hash,
        )
        return await self._groups.append(
            append,
            signed_by=key or b"",  # it is there, or verify_as has raised
            now_ms=now_ms,
            quota=self._group_quota,
            kept_since_ms=now_ms - limits.GROUP_LOG_KEPT_SECONDS * 1_000,
        )

    async def read_group(self, log_id: bytes, token: bytes | None, from_index: int) -> LogPage:
        """A page of the log for whoever has its read token; raises NotAllowed."""
        now_ms = self._clock.now_ms()
        shown = hashlib.sha256(token or b"").digest()
        kept = await self._groups.read_token_hash(
            log_id, used_since_day=used_since_day(now_ms, self._idle_seconds)
        )
        if not hmac.compare_digest(kept or _NO_HASH, shown) or kept is None:
            raise NotAllowed
        page = await self._groups.read(log_id, kept, from_index=from_index, size=_PAGE)
        if page is None:  # a commit has changed the token in between
            raise NotAllowed
        with NotedUnlessReadOnly():
            await self._groups.mark_used(log_id, day=now_ms // DAY_MS)
        return page


def _checked(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise NotFound(f"a log's name is 1 to {limits.MAX_LOG_NAME_CHARACTERS} of a-z")
    return name


def _check_key(key: bytes) -> None:
    if not is_ed25519_key(key):
        raise MalformedRequest("a write key is an Ed25519 key")


def _signed(
    log_id: bytes,
    request: GroupLogRequest | GroupLogAppendRequest,
    write_key: bytes | None,
    read_token_hash: bytes | None,
) -> bytes:
    """The transcript of an append; a creation signs none, and is known by it all the same."""
    return log_append_transcript(
        log_id=log_id,
        index=request.index if isinstance(request, GroupLogAppendRequest) else 0,
        entry=request.entry,
        next_write_key=write_key,
        next_read_token_hash=read_token_hash,
    )
