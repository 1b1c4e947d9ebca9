"""What is kept how long, of each kind, and accounts of which nothing goes for a while; docs/operations.md, "Retention".

A relay that cannot read what it carries can hold ciphertexts, times, sizes, and who they were for. It cannot hold back what a
device acknowledges or removes itself: then the device has it, and the relay has nothing to keep.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from relay.config import Settings, options_of
from relay.ports.clock import Clock
from relay.ports.holds import Hold, HoldStore
from relay.services.administration import Administration
from relay.services.audit import Act, Action, Audit
from relay.services.housekeeping import Housekeeping
from relay.services.usage import USAGE_DAYS
from relay.wire import limits
from relay.wire.audit_rows import Party, day_of
from relay.wire.errors import MalformedRequest

DAY_MS: Final = 86_400_000
MAX_HOLD_DAYS: Final = 3_650
LAPSED_AT_ONCE: Final = 100
_REASON: Final = re.compile(r"[a-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Kept:
    """A kind of data: how long it is kept, by a setting or by what the protocol says (both None: until somebody removes it)."""

    kind: str
    told: str
    setting: str | None = None
    seconds: int | None = None
    held: bool = False
    """Whether a hold on the account keeps it longer."""


KEPT: Final = (
    Kept("accounts", "an account with its devices and manifests, until it is deleted", held=True),
    Kept("profiles", "the newest version of what an account says of itself, sealed", held=True),
    Kept("push_registrations", "where a device is woken, until it, or the push service, takes it back"),
    Kept("push_wakeups", "wakeups, until the device connects, or no push service took them in time"),
    Kept("envelopes", "envelopes that wait for a device", "limits.max_ttl_seconds", held=True),
    Kept("blobs", "files whose upload was finished", "limits.blob_ttl_seconds", held=True),
    Kept("uploads", "files whose upload makes no progress", "limits.blob_upload_seconds", held=True),
    Kept("account_logs", "sealed logs of an account, until its devices trim them", held=True),
    Kept("group_logs", "sealed logs of groups, since they were last used", "limits.group_log_idle_seconds"),
    Kept("handles", "handles that were given back, as salted hashes", "limits.handle_kept_seconds"),
    Kept("audit_rows", "what rows of the audit log say; their hashes stay", "audit.keep_days", held=True),
    Kept(
        "idempotency_records",
        "by which an envelope that is sent twice is stored once",
        seconds=limits.IDEMPOTENCY_SECONDS,
    ),
    Kept("nonces", "of signed requests", seconds=limits.NONCE_KEPT_SECONDS),
    Kept(
        "usage",
        "devices that were here and envelopes accepted, by day, rounded; they name nobody",
        seconds=USAGE_DAYS * 86_400,
    ),
    Kept("figures", "how the relay stood, for the dashboard's charts; in memory", seconds=3_600),
)
"""All kinds; documents and `retention show` are made from it."""


class Retention:
    """Of one relay."""

    def __init__(
        self,
        holds: HoldStore,
        audit: Audit,
        administration: Administration,
        housekeeping: Housekeeping,
        *,
        clock: Clock,
        settings: Callable[[], Settings],
    ) -> None:
        self._holds = holds
        self._audit = audit
        self._administration = administration
        self._housekeeping = housekeeping
        self._clock = clock
        self._settings = settings

    def kept_seconds(self) -> dict[str, int | None]:
        """Kind → seconds, as the settings are now; None: until somebody removes it."""
        values = {option.name: option.value for option in options_of(self._settings())}

        def seconds(kept: Kept) -> int | None:
            value = kept.seconds if kept.setting is None else values[kept.setting]
            if not isinstance(value, int) or (kept.kind == "audit_rows" and not value):
                return None
            return value * DAY_MS // 1_000 if kept.kind == "audit_rows" else value

        return {kept.kind: seconds(kept) for kept in KEPT}

    async def hold(self, named: str, reason: str, days: int, *, act: Act) -> Hold:
        """Keep what there is of an account for so many days, in the place of an earlier hold.

        Raises what `Administration.meant` raises, MalformedRequest, Conflict.
        """
        if not _REASON.fullmatch(reason):
            raise MalformedRequest("a reason is one word of a-z, 0-9, . - _, like the number of a case")
        account_id = await self._administration.meant(named, act, detail=reason)
        now_ms = self._clock.now_ms()
        hold = Hold(account_id, reason, now_ms, now_ms + days * DAY_MS)
        await self._holds.put(hold, audited=act.done())
        return hold

    async def release(self, named: str, *, act: Act) -> Hold:
        """The hold ends: what it kept goes with the next rounds of housekeeping. Raises as `hold`, NotFound for none."""
        account_id = await self._administration.meant(named, act)
        hold = await self._holds.find(account_id)
        await self._holds.release(account_id, audited=act.done())
        return hold or Hold(account_id, "", 0, 0)

    async def holds(self) -> tuple[Hold, ...]:
        """All there are."""
        return await self._holds.list()

    async def end_lapsed(self) -> int:
        """End holds whose day has come; how many it were. Each is a row of the audit log."""
        now_ms = self._clock.now_ms()
        lapsed = [hold for hold in await self._holds.list() if hold.until_ms <= now_ms][:LAPSED_AT_ONCE]
        for hold in lapsed:
            ended = self._audit.by_relay(
                Action.RETENTION_RELEASE, subject=Party.account(hold.account_id), detail=hold.reason
            )
            await self._holds.release(hold.account_id, audited=ended)
        return len(lapsed)

    async def run(self) -> dict[str, int]:
        """Do now what housekeeping does by itself, a bounded piece of each kind; how many were removed."""
        counts = {"holds": await self.end_lapsed(), **await self._housekeeping.run_once()}
        before_ms = drop_before_ms(self._clock.now_ms(), self._settings().audit.keep_days)
        counts["audit_rows"] = 0
        if before_ms is not None:
            counts["audit_rows"] = await self._audit.drop_details(
                before_ms=await bounded_by_holds(before_ms, self._holds.audited_from_ms)
            )
        return counts


def drop_before_ms(now_ms: int, keep_days: int) -> int | None:
    """Rows of the audit log before this time lose what they say; None: none do."""
    return None if not keep_days else day_of(now_ms) - keep_days * DAY_MS


async def bounded_by_holds(before_ms: int, held_from_ms: Callable[[], Awaitable[int | None]]) -> int:
    """The same, but not beyond the first row that names a held account: rows lose what they say in their order alone."""
    held = await held_from_ms()
    return before_ms if held is None else min(before_ms, day_of(held))
