"""A submit on its way into mailboxes: shape, right, commit. What the store says of it, and who should hear of it.

Knows no sender of a sealed envelope: a grant opens a mailbox, whoever shows it. docs/protocol.md, "Delivery", 1 to 3 and 8.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final, TypeAlias

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
from relay.wire.frames import Accepted, EnvelopeClass, ManifestVersion, Outcome, Refused, Submit

TARGETS_A_TURN: Final = 1_000
"""So many targets are looked at before other connections have their turn."""

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
        told = appended.outcomes if appended else (Outcome.RELAYED,) * len(self.submission.targets)
        if self.outcomes is not None:
            rest = iter(told)
            told = tuple(next(rest) if outcome is None else outcome for outcome in self.outcomes)
        return Accepted(self.request_id, told, self.behind)

    def refused(self, error: RelayError) -> Refused:
        """The answer if the store did not take it."""
        return Refused(self.request_id, error.code, error.retry_after_ms)


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
        opened: Opened = {}
        judged: list[Permitted | Refused] = []
        for submit in submits:
            try:
                meter.take(len(submit.targets))  # before anything is looked up
                self._check(submit, signer)
                if len(submit.targets) == 1:
                    grant = submit.grants[0]
                    key = (grant.account_id, grant.token)
                    if key not in opened:
                        opened[key] = await self._reach.check(grant, signer)
                    judged.append(self._judge_one(submit, opened[key]))
                else:
                    judged.append(await self._judge_many(submit, signer, opened))
            except RelayError as error:
                judged.append(Refused(submit.request_id, error.code, error.retry_after_ms))
        return judged

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
        accounts: list[Reachable | None] = []
        for grant in submit.grants:
            key = (grant.account_id, grant.token)
            if key not in opened:
                opened[key] = await self._reach.check(grant, signer)
            accounts.append(opened[key])
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

    def _judge_one(self, submit: Submit, account: Reachable | None) -> Permitted:
        """As `_judge_many`, for the most frequent submit: one target, so one ciphertext and one grant."""
        target, grant = submit.targets[0], submit.grants[0]
        outcomes: list[Outcome | None] | None = None
        targets: tuple[tuple[bytes, int], ...] = ()
        behind: tuple[ManifestVersion, ...] = ()
        if account is None:
            outcomes = [Outcome.NOT_ALLOWED]
        else:
            if target.device_id not in account.device_ids:
                outcomes = [Outcome.UNKNOWN_DEVICE]
            elif refused := self._strangers.refusal(submit, 0, account, len(submit.ciphertexts[0])):
                outcomes = [refused]
            else:
                targets = ((target.device_id, 0),)
            if account.manifest_version > grant.manifest_version:
                behind = (ManifestVersion(grant.account_id, account.manifest_version),)
        return Permitted(
            submit.request_id,
            Submission(submit.envelope_id, submit.ttl_seconds, submit.ciphertexts, targets, submit.urgent),
            submit.envelope_class is EnvelopeClass.DURABLE,
            outcomes,
            behind,
        )

    async def store(self, permitted: Sequence[Permitted]) -> None:
        """Commit what is durable, all in one call, and note its outcomes; owners of mailboxes that fill up are told.

        Raises StorageFull, Unavailable: then nothing of it was stored.
        """
        for one in permitted:
            for outcome in one.outcomes or ():
                if outcome is not None:
                    self._figures.add("outcomes_total", label=outcome.name.lower())
        durable = [one for one in permitted if one.is_durable and one.submission.targets]
        if not durable:
            return
        began = self._clock.monotonic_seconds()
        result = await self._store.append([one.submission for one in durable], now_ms=self._clock.now_ms())
        self._figures.took("store_seconds", self._clock.monotonic_seconds() - began)
        for one, appended in zip(durable, result.appended, strict=True):
            one.appended = appended
            self._count(one.submission, appended)
        for level in result.levels:
            self._bus.publish(MailboxFilling(level.device_id, level.envelopes, level.bytes, level.full))

    def _count(self, submission: Submission, appended: Appended) -> None:
        """What was stored anew, and what the store did not take. One target is the most frequent submit."""
        if len(submission.targets) == 1:
            if appended.sequences[0]:
                self._figures.add("accepted_total", label=size_class(len(submission.ciphertexts[0])))
        else:
            new = Counter(
                size_class(len(submission.ciphertexts[index]))
                for (_, index), sequence in zip(submission.targets, appended.sequences, strict=True)
                if sequence
            )
            for label, count in new.items():
                self._figures.add("accepted_total", count, label=label)
        for outcome in appended.outcomes:
            if outcome is not Outcome.STORED:
                self._figures.add("outcomes_total", label=outcome.name.lower())
