"""What may come by one token: small budgets of each account for strangers, a wide one for the rest, and the proof of work.

In memory only, and of the account that is written to: who writes is not known here. docs/protocol.md, "Strangers".
"""

from collections.abc import Sequence
from typing import Final

from relay.config import LimitSettings, Rate
from relay.ports.clock import Clock
from relay.ports.delivery_tokens import TokenClass
from relay.services.rate_limit import Gcra
from relay.services.reach import Reachable
from relay.wire import limits
from relay.wire.frames import Outcome, Submit
from relay.wire.work import is_enough_work

STRANGE: Final = frozenset({TokenClass.LINK, TokenClass.PUBLIC})
"""Classes of tokens that somebody has whom the owner never chose."""


def stranger_budget(settings: LimitSettings) -> tuple[int, float]:
    """(units at once, seconds for each after that) of one class, so that the burst and all that follows in the longest
    life of an envelope are at most `stranger_mailbox_percent` of a mailbox, in envelopes and in bytes.

    A unit pays for one envelope of at most STRANGER_UNIT_BYTES, so a mailbox has room for as many units as the tighter of
    its two quotas has; and what is older than `max_ttl_seconds` has left it.
    """
    mailbox = min(settings.mailbox_envelopes, settings.mailbox_bytes // limits.STRANGER_UNIT_BYTES)
    units = max(2, mailbox * settings.stranger_mailbox_percent // 100)
    burst = min(settings.stranger_burst, units - 1)
    return burst, settings.max_ttl_seconds / (units - burst)


class Strangers:
    """Asked once for each grant that opens something."""

    def __init__(self, settings: LimitSettings, token_rate: Rate, *, clock: Clock) -> None:
        burst, seconds = stranger_budget(settings)
        self._work_bits = settings.public_work_bits
        self._strange = Gcra(burst=burst, seconds_per_unit=seconds, monotonic_ms=clock.monotonic_ms)
        self._known = Gcra(
            burst=token_rate.burst,
            seconds_per_unit=1 / token_rate.per_second,
            monotonic_ms=clock.monotonic_ms,
        )

    def change(self, settings: LimitSettings, token_rate: Rate) -> None:
        """Other budgets from now on; what was taken stays taken."""
        burst, seconds = stranger_budget(settings)
        self._work_bits = settings.public_work_bits
        self._strange.change(burst=burst, seconds_per_unit=seconds)
        self._known.change(burst=token_rate.burst, seconds_per_unit=1 / token_rate.per_second)

    def refusal(self, submit: Submit, number: int, account: Reachable, largest: int) -> Outcome | None:
        """What the targets of grant `number` are answered, None if they may have their envelopes: those are paid for then.

        `account` is what the grant opens, `largest` the size in bytes of its largest ciphertext: a device gets one of
        them, so that is what the fullest mailbox grows by.
        """
        if account.token_class not in STRANGE:
            # By the token, whose hash is kept anyway; an own device with an empty token is not counted.
            spent = account.token_hash is not None and self._known.take(account.token_hash)
            return Outcome.BUDGET_SPENT if spent else None
        if (
            self._work_bits
            and account.token_class is TokenClass.PUBLIC
            and not self._has_worked(submit, number)
        ):
            return Outcome.WORK_REQUIRED
        units = -(-largest // limits.STRANGER_UNIT_BYTES)
        # By account and class, not by token: an owner who changes the link gives nobody a new budget.
        if self._strange.take((account.account_id, account.token_class), units):
            return Outcome.BUDGET_SPENT
        return None

    def refuse_run(
        self, submits: Sequence[Submit], account: Reachable, refusals: list[Outcome | None]
    ) -> None:
        """The same for submits of one target each, all by one grant: fills in `refusals` where there is None.

        A budget that has enough for all of them is asked once.
        """
        wanted = refusals.count(None)
        if not wanted:
            return
        if account.token_class not in STRANGE and (
            account.token_hash is None or not self._known.take(account.token_hash, wanted)
        ):
            return
        for number, (submit, refusal) in enumerate(zip(submits, refusals, strict=True)):
            if refusal is None:
                refusals[number] = self.refusal(submit, 0, account, len(submit.ciphertexts[0]))

    def _has_worked(self, submit: Submit, number: int) -> bool:
        grant = submit.grants[number]
        return number < len(submit.work) and is_enough_work(
            submit.work[number],
            self._work_bits,
            envelope_id=submit.envelope_id,
            account_id=grant.account_id,
            token=grant.token,
        )
