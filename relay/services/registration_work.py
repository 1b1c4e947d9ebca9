"""What an account without an invite costs: a proof of work, which grows while many come. docs/protocol.md, "Registration".

In memory, and for the whole relay: addresses are cheap to whoever wants many accounts.
"""

import hashlib
import math
from typing import Final

from relay.ports.clock import Clock
from relay.wire import limits
from relay.wire.errors import WorkRequired
from relay.wire.manifests import Manifest
from relay.wire.resources import RegistrationWork
from relay.wire.transcripts import registration_work_transcript
from relay.wire.work import begins_with_zeros

_FADING_SECONDS: Final = 3_600.0


class WorkForAccounts:
    """How much work an account needs at this moment."""

    def __init__(self, *, origin: str, clock: Clock, base_bits: int, an_hour: int) -> None:
        self._origin = origin
        self._clock = clock
        self._base_bits = base_bits
        self._an_hour = an_hour
        self._recent = 0.0  # accounts, each of which fades: at a steady rate it is that rate an hour
        self._counted_at = clock.monotonic_seconds()

    def change(self, base_bits: int, an_hour: int) -> None:
        """Other settings from now on."""
        self._base_bits, self._an_hour = base_bits, an_hour

    def _fade(self) -> float:
        now = self._clock.monotonic_seconds()
        self._recent *= math.exp((self._counted_at - now) / _FADING_SECONDS)
        self._counted_at = now
        return self._recent

    def bits(self) -> int:
        """Zero bits that are asked for now."""
        recent = self._fade()
        if not self._base_bits or recent < self._an_hour:
            return self._base_bits
        more = 1 + int(math.log2(recent / self._an_hour))
        return min(self._base_bits + more, limits.MAX_REGISTRATION_WORK_BITS)

    def check(self, work: RegistrationWork | None, manifest: Manifest) -> None:
        """Raise WorkRequired unless it is enough for the account of this manifest, and recent."""
        bits = self.bits()
        if not bits:
            return
        if work is None:
            raise WorkRequired(f"without an invite an account needs a proof of work of {bits} bits")
        if abs(work.time_ms - self._clock.now_ms()) > limits.REGISTRATION_WORK_SECONDS * 1_000:
            raise WorkRequired(
                "the proof of work is too old, or of another time: fetch the relay's document again"
            )
        hashed = registration_work_transcript(
            origin=self._origin,
            account_id=manifest.account_id,
            manifest_hash=manifest.hash,
            time_ms=work.time_ms,
            work=work.work,
        )
        if not begins_with_zeros(hashlib.sha256(hashed).digest(), bits):
            raise WorkRequired(f"the relay asks for a proof of work of {bits} bits by now")

    def count(self) -> None:
        """An account was made by work."""
        self._recent = self._fade() + 1
