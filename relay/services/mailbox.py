"""A submit on its way into mailboxes: shape, right, commit. What the store says of it, and who should hear of it.

Knows no sender of a sealed envelope: a grant opens a mailbox, whoever shows it. docs/protocol.md, "Delivery", 1 to 3 and 8.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from relay.ports.bus import Bus, MailboxFilling
from relay.ports.clock import Clock
from relay.ports.mailboxes import Appended, MailboxStore, Submission
from relay.services.devices import KnownDevice
from relay.services.reach import Reach, Reachable
from relay.wire.errors import MalformedRequest, NotAllowed
from relay.wire.frames import Accepted, EnvelopeClass, ManifestVersion, Outcome, Submit

TARGETS_A_TURN: Final = 1_000
"""So many targets are looked at before other connections have their turn."""

Reached: TypeAlias = dict[tuple[bytes, bytes], Reachable | None]
"""What (account id, token) opened, within one message."""


@dataclass(slots=True)
class Permitted:
    """A submit of right shape. `outcomes` has None for each target that its grant opens: `submission` holds just these."""

    request_id: int
    submission: Submission
    is_durable: bool
    outcomes: list[Outcome | None] = field(default_factory=list)  # empty: every target is open
    behind: tuple[ManifestVersion, ...] = ()
    appended: Appended | None = None  # once it is durable

    @property
    def needs_store(self) -> bool:
        """Whether something of it is to be committed."""
        return self.is_durable and bool(self.submission.targets)

    def accepted(self) -> Accepted:
        """The answer: after the commit, if it is durable."""
        if self.appended is not None and not self.outcomes:
            return Accepted(self.request_id, self.appended.outcomes, self.behind)
        count = len(self.submission.targets)
        told = (Outcome.RELAYED,) * count if self.appended is None else self.appended.outcomes
        rest = iter(told)
        outcomes = self.outcomes or [None] * count
        return Accepted(
            self.request_id,
            tuple(next(rest) if outcome is None else outcome for outcome in outcomes),
            self.behind,
        )


def check_shape(submit: Submit) -> None:
    """Raise MalformedRequest unless indices point somewhere, each ciphertext and grant is used, no device stands twice."""
    if (submit.ttl_seconds == 0) != (submit.envelope_class is EnvelopeClass.EPHEMERAL):
        raise MalformedRequest("ttl_seconds is 0 for ephemeral envelopes, and for those alone")
    targets = submit.targets
    if len(targets) == 1:
        only = targets[0]
        if only.ciphertext or only.grant or len(submit.ciphertexts) > 1 or len(submit.grants) > 1:
            raise MalformedRequest("a target's index points nowhere, or a ciphertext or grant has no target")
        return
    if len({target.device_id for target in targets}) != len(targets):
        raise MalformedRequest("a device stands twice in the targets")
    if {target.ciphertext for target in targets} != set(range(len(submit.ciphertexts))):
        raise MalformedRequest("a target's ciphertext index points nowhere, or a ciphertext has no target")
    if {target.grant for target in targets} != set(range(len(submit.grants))):
        raise MalformedRequest("a target's grant index points nowhere, or a grant has no target")


class Mailboxes:
    """Authorises and stores submits."""

    def __init__(
        self,
        store: MailboxStore,
        reach: Reach,
        *,
        bus: Bus,
        clock: Clock,
        max_ttl_seconds: int,
        anonymous_submit: bool,
    ) -> None:
        """`anonymous_submit` off: who submits is signed, and shows tokens like everybody."""
        self._store = store
        self._reach = reach
        self._bus = bus
        self._clock = clock
        self._max_ttl_seconds = max_ttl_seconds
        self._anonymous_submit = anonymous_submit

    async def authorise(self, submit: Submit, signer: KnownDevice | None, reached: Reached) -> Permitted:
        """What of the submit may be stored, and the answer for the rest.

        A signer writes to the own account's devices alone, with an empty token; everybody else has tokens. Raises
        MalformedRequest, NotAllowed.
        """
        check_shape(submit)
        if submit.ttl_seconds > self._max_ttl_seconds:
            raise MalformedRequest("ttl_seconds is above this relay's max_ttl_seconds")
        if signer is None and not self._anonymous_submit:
            raise NotAllowed("this relay takes submits on authenticated connections only")
        opened: list[Reachable | None] = []
        behind: list[ManifestVersion] = []
        for grant in submit.grants:
            if (
                self._anonymous_submit
                and signer is not None
                and (grant.token or grant.account_id != signer.account_id)
            ):
                raise NotAllowed("an authenticated connection writes to the own devices, with an empty token")
            key = (grant.account_id, grant.token)
            if key not in reached:
                reached[key] = await self._reach.check(grant, signer)
            account = reached[key]
            opened.append(account)
            if account is not None and account.manifest_version > grant.manifest_version:
                behind.append(ManifestVersion(grant.account_id, account.manifest_version))
        is_durable = submit.envelope_class is EnvelopeClass.DURABLE
        targets: list[tuple[bytes, int]] = []
        outcomes: list[Outcome | None] = []
        for number, target in enumerate(submit.targets):
            account = opened[target.grant]
            if account is None:
                outcomes.append(Outcome.NOT_ALLOWED)
            elif target.device_id not in account.device_ids:
                outcomes.append(Outcome.UNKNOWN_DEVICE)
            else:
                outcomes.append(None)
                targets.append((target.device_id, target.ciphertext))
            if number % TARGETS_A_TURN == TARGETS_A_TURN - 1:
                await self._clock.sleep(0)
        submission = Submission(submit.envelope_id, submit.ttl_seconds, submit.ciphertexts, tuple(targets))
        return Permitted(
            submit.request_id,
            submission,
            is_durable,
            [] if len(targets) == len(outcomes) else outcomes,
            tuple(behind),
        )

    async def store(self, permitted: Sequence[Permitted]) -> None:
        """Commit what is durable, all in one call, and note its outcomes; owners of mailboxes that fill up are told.

        Raises StorageFull, Unavailable: then nothing of it was stored.
        """
        durable = [one for one in permitted if one.needs_store]
        if not durable:
            return
        result = await self._store.append([one.submission for one in durable], now_ms=self._clock.now_ms())
        for one, appended in zip(durable, result.appended, strict=True):
            one.appended = appended
        for level in result.levels:
            self._bus.publish(MailboxFilling(level.device_id, level.envelopes, level.bytes, level.full))
