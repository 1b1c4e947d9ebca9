"""A submit on its way into mailboxes: shape, right, commit. What the store says of it, and who should hear of it.

Knows no sender of a sealed envelope: a grant opens a mailbox, whoever shows it. docs/protocol.md, "Delivery", 1 to 3 and 8.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final, TypeAlias, cast

import msgspec

from relay.config import LimitSettings, Rate
from relay.observe.figures import Figures, size_class
from relay.ports.bus import Bus, MailboxFilling
from relay.ports.clock import Clock
from relay.ports.mailboxes import Appended, MailboxStore, Submission
from relay.services.devices import KnownDevice
from relay.services.reach import Reach, Reachable
from relay.services.roles import Operation, Roles
from relay.services.strangers import STRANGE, Strangers
from relay.session.session import Meter
from relay.wire.errors import MalformedRequest, NotAllowed, RelayError
from relay.wire.frames import Accepted, EnvelopeClass, Grant, ManifestVersion, Outcome, Refused, Submit

TARGETS_A_TURN: Final = 1_000
"""So many targets are looked at before other connections have their turn."""

STORED: Final = (Outcome.STORED,)
"""What most submits are answered."""
Opened: TypeAlias = dict[tuple[bytes, bytes], Reachable | None]
"""What (account id, token) opens; asked once for all submits of a message."""


class Permitted(msgspec.Struct):
    """A submit of right shape. `outcomes` has None for each target that its grant opens: `submission` holds just these.

    (A struct as one is made for each envelope.)
    """

    request_id: int
    submission: Submission
    is_durable: bool
    outcomes: list[Outcome | None] | None = None  # None: every target is open
    behind: tuple[ManifestVersion, ...] = ()
    appended: Appended | None = None  # once it is durable

    def accepted(self) -> Accepted:
        """The answer: after the commit, if it is durable."""
        appended = self.appended
        if appended is not None and self.outcomes is None:
            return Accepted(self.request_id, appended.outcomes, self.behind)
        told = appended.outcomes if appended else (Outcome.RELAYED,) * len(self.submission.targets)
        if self.outcomes is not None:
            rest = iter(told)
            told = tuple(next(rest) if outcome is None else outcome for outcome in self.outcomes)
        return Accepted(self.request_id, told, self.behind)

    def refused(self, error: RelayError) -> Refused:
        """The answer if the store did not take it."""
        return Refused(self.request_id, error.code, error.retry_after_ms)


def _grant_of_one(checked: Submit | Refused) -> Grant | None:
    """The grant of a submit with one target; submits side by side that show the same one are judged together."""
    if isinstance(checked, Submit) and len(checked.targets) == 1:
        return checked.grants[0]
    return None


def check_shape(submit: Submit) -> None:
    """Raise MalformedRequest unless indices point somewhere, each ciphertext and grant is used, no device stands twice."""
    targets, grants, ciphertexts = submit.targets, submit.grants, submit.ciphertexts
    if (submit.ttl_seconds == 0) != (submit.envelope_class is EnvelopeClass.EPHEMERAL):
        raise MalformedRequest("ttl_seconds is 0 for ephemeral envelopes, and for those alone")
    if len(targets) == len(grants) == len(ciphertexts) == 1:
        if targets[0].ciphertext or targets[0].grant:
            raise MalformedRequest("a target's index points nowhere")
        return
    if len({target.device_id for target in targets}) != len(targets):
        raise MalformedRequest("a device stands twice in the targets")
    if {target.ciphertext for target in targets} != set(range(len(ciphertexts))):
        raise MalformedRequest("a target's ciphertext index points nowhere, or a ciphertext has no target")
    if {target.grant for target in targets} != set(range(len(grants))):
        raise MalformedRequest("a target's grant index points nowhere, or a grant has no target")


class Mailboxes:
    """Authorises and stores submits."""

    def __init__(
        self,
        store: MailboxStore,
        reach: Reach,
        strangers: Strangers,
        roles: Roles,
        *,
        bus: Bus,
        clock: Clock,
        figures: Figures,
        max_ttl_seconds: int,
        anonymous_submit: bool,
    ) -> None:
        """`anonymous_submit` off: who submits is signed, not suspended, and shows tokens like everybody."""
        self._store = store
        self._reach = reach
        self._strangers = strangers
        self._roles = roles
        self._bus = bus
        self._clock = clock
        self._figures = figures
        self._max_ttl_seconds = max_ttl_seconds
        self._anonymous_submit = anonymous_submit

    def change(self, settings: LimitSettings, token_rate: Rate) -> None:
        """Other limits from now on."""
        self._max_ttl_seconds = settings.max_ttl_seconds
        self._strangers.change(settings, token_rate)

    async def authorise(
        self, submits: Sequence[Submit], signer: KnownDevice | None, meter: Meter
    ) -> list[Permitted | Refused]:
        """What of each submit may be stored, and the answer for the rest; in their order.

        From memory, but for what an account is asked for first. A signer writes to the own account's devices alone, with an
        empty token (if there is anonymous submit); everybody else has tokens.
        """
        is_paid = meter.take_together([len(submit.targets) for submit in submits])
        checked = [self._checked(submit, signer, None if is_paid else meter) for submit in submits]
        opened: Opened = {}
        judged: list[Permitted | Refused] = []
        for grant, run in groupby(checked, _grant_of_one):
            if grant is not None:
                judged += await self._judge_run(cast(list[Submit], list(run)), grant, signer, opened)
            else:
                for one in run:
                    judged.append(
                        one if isinstance(one, Refused) else await self._judge_else(one, signer, opened)
                    )
        return judged

    def _checked(self, submit: Submit, signer: KnownDevice | None, meter: Meter | None) -> Submit | Refused:
        """The submit if it may be looked at; `meter`: it has not been taken from yet."""
        try:
            if meter is not None:
                meter.take(len(submit.targets))
            self._check(submit, signer)
        except RelayError as error:
            return Refused(submit.request_id, error.code, error.retry_after_ms)
        return submit

    async def _open(self, grant: Grant, signer: KnownDevice | None, opened: Opened) -> Reachable | None:
        """What the grant opens; asked once for all submits of a message."""
        key = (grant.account_id, grant.token)
        if key not in opened:
            opened[key] = await self._reach.check(grant, signer)
        return opened[key]

    async def _judge_else(
        self, submit: Submit, signer: KnownDevice | None, opened: Opened
    ) -> Permitted | Refused:
        try:
            return await self._judge_many(submit, signer, opened)
        except RelayError as error:
            return Refused(submit.request_id, error.code, error.retry_after_ms)

    async def judge(self, submit: Submit, signer: KnownDevice | None) -> Permitted:
        """The same for one submit; raises MalformedRequest, NotAllowed."""
        self._check(submit, signer)
        return await self._judge_many(submit, signer, {})

    def _check(self, submit: Submit, signer: KnownDevice | None) -> None:
        """Raise MalformedRequest, or NotAllowed where no grant would help."""
        check_shape(submit)
        if submit.ttl_seconds > self._max_ttl_seconds:
            raise MalformedRequest("ttl_seconds is above this relay's max_ttl_seconds")
        if not self._anonymous_submit:
            if signer is None or signer.suspended:
                raise NotAllowed("this relay takes submits on authenticated connections only")
            self._roles.require(signer, Operation.SUBMIT)
            if not all(signer.may_reach(grant.account_id) for grant in submit.grants):
                raise NotAllowed("a guest writes to the accounts that its link names")
        elif signer is not None:
            self._roles.require(signer, Operation.SUBMIT)
            for grant in submit.grants:
                if grant.token or grant.account_id != signer.account_id:
                    raise NotAllowed(
                        "an authenticated connection writes to the own devices, with an empty token"
                    )

    async def _judge_many(self, submit: Submit, signer: KnownDevice | None, opened: Opened) -> Permitted:
        accounts = [await self._open(grant, signer, opened) for grant in submit.grants]
        refused = await self._spend(submit, accounts)
        targets: list[tuple[bytes, int]] = []
        outcomes: list[Outcome | None] = []
        for number, target in enumerate(submit.targets):
            account = accounts[target.grant]
            if account is None:
                outcomes.append(Outcome.NOT_ALLOWED)
            elif target.device_id not in account.device_ids:
                outcomes.append(Outcome.UNKNOWN_DEVICE)
            elif target.grant in refused:
                outcomes.append(refused[target.grant])
            else:
                outcomes.append(None)
                targets.append((target.device_id, target.ciphertext))
            if number % TARGETS_A_TURN == TARGETS_A_TURN - 1:
                await self._clock.sleep(0)
        return Permitted(
            submit.request_id,
            Submission(
                submit.envelope_id, submit.ttl_seconds, submit.ciphertexts, tuple(targets), submit.urgent
            ),
            submit.envelope_class is EnvelopeClass.DURABLE,
            outcomes if len(targets) < len(outcomes) else None,
            tuple(
                ManifestVersion(grant.account_id, account.manifest_version)
                for grant, account in zip(submit.grants, accounts, strict=True)
                if account is not None and account.manifest_version > grant.manifest_version
            ),
        )

    async def _spend(self, submit: Submit, accounts: Sequence[Reachable | None]) -> dict[int, Outcome]:
        """Take from the budgets what the submit brings; the refusal of each grant that has none left."""
        largest = await self._largest(submit, accounts)
        refused: dict[int, Outcome] = {}
        for number, account in enumerate(accounts):
            size = largest.get(number)
            if account is not None and size != 0:  # for a stranger who reaches no device nothing is kept
                outcome = self._strangers.refusal(submit, number, account, size or 1)
                if outcome is not None:
                    refused[number] = outcome
            if number % TARGETS_A_TURN == TARGETS_A_TURN - 1:
                await self._clock.sleep(0)
        return refused

    async def _largest(self, submit: Submit, accounts: Sequence[Reachable | None]) -> dict[int, int]:
        """For each stranger's grant the bytes of the largest ciphertext that a device of the account gets; 0: none does."""
        largest = {
            number: 0
            for number, account in enumerate(accounts)
            if account is not None and account.token_class in STRANGE
        }
        if largest:
            for number, target in enumerate(submit.targets):
                account = accounts[target.grant]
                if target.grant in largest and account is not None and target.device_id in account.device_ids:
                    size = len(submit.ciphertexts[target.ciphertext])
                    largest[target.grant] = max(largest[target.grant], size)
                if number % TARGETS_A_TURN == TARGETS_A_TURN - 1:
                    await self._clock.sleep(0)
        return largest

    async def _judge_run(
        self, submits: Sequence[Submit], grant: Grant, signer: KnownDevice | None, opened: Opened
    ) -> list[Permitted | Refused]:
        """As `_judge_many`, for the most frequent submits: one target each, so one ciphertext, and all by this one grant."""
        try:
            account = await self._open(grant, signer, opened)
        except RelayError as error:
            return [Refused(submit.request_id, error.code, error.retry_after_ms) for submit in submits]
        behind: tuple[ManifestVersion, ...] = ()
        refusals: list[Outcome | None]
        if account is None:
            refusals = [Outcome.NOT_ALLOWED] * len(submits)
        else:
            device_ids = account.device_ids
            refusals = [
                None if submit.targets[0].device_id in device_ids else Outcome.UNKNOWN_DEVICE
                for submit in submits
            ]
            self._strangers.refuse_run(submits, account, refusals)
            if account.manifest_version > grant.manifest_version:
                behind = (ManifestVersion(grant.account_id, account.manifest_version),)
        return [
            Permitted(
                submit.request_id,
                Submission(
                    submit.envelope_id,
                    submit.ttl_seconds,
                    submit.ciphertexts,
                    () if refusal else ((submit.targets[0].device_id, 0),),
                    submit.urgent,
                ),
                submit.envelope_class is EnvelopeClass.DURABLE,
                [refusal] if refusal else None,
                behind,
            )
            for submit, refusal in zip(submits, refusals, strict=True)
        ]

    async def store(self, permitted: Sequence[Permitted]) -> None:
        """Commit what is durable, all in one call, and note its outcomes; owners of mailboxes that fill up are told.

        Raises StorageFull, Unavailable: then nothing of it was stored.
        """
        self._count_refused(one.outcomes for one in permitted if one.outcomes is not None)
        durable = [one for one in permitted if one.is_durable and one.submission.targets]
        if not durable:
            return
        began = self._clock.monotonic_seconds()
        result = await self._store.append([one.submission for one in durable], now_ms=self._clock.now_ms())
        self._figures.took("store_seconds", self._clock.monotonic_seconds() - began)
        for one, appended in zip(durable, result.appended, strict=True):
            one.appended = appended
        self._count(durable)
        for level in result.levels:
            self._bus.publish(MailboxFilling(level.device_id, level.envelopes, level.bytes, level.full))

    def _count(self, durable: Sequence[Permitted]) -> None:
        """What was stored anew, and what the store did not take: for all of a message at once."""
        sizes: list[int] = []
        for one in durable:
            ciphertexts, appended = one.submission.ciphertexts, one.appended
            if appended is None:
                continue
            if appended.outcomes == STORED:  # of one target, as most have
                if appended.sequences[0]:
                    sizes.append(len(ciphertexts[one.submission.targets[0][1]]))
                continue
            for (_, index), sequence in zip(one.submission.targets, appended.sequences, strict=True):
                if sequence:
                    sizes.append(len(ciphertexts[index]))
            self._count_refused((appended.outcomes,))
        for label, count in Counter(map(size_class, sizes)).items():
            self._figures.add("accepted_total", count, label=label)

    def _count_refused(self, told: Iterable[Iterable[Outcome | None]]) -> None:
        """Targets that were not stored, by what they are told."""
        for outcomes in told:
            for outcome in outcomes:
                if outcome is not None and outcome is not Outcome.STORED:
                    self._figures.add("outcomes_total", label=outcome.name.lower())
