"""A group's envelope on its way: who gets it with which grant, and what the relay's answer means for each of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from client.account import load_account
from client.store import queue
from client.store.database import Transaction
from client.store.group_sending import audience
from client.store.group_tokens import forget_group_token
from client.store.groups import make_due
from client.store.peers import drop_token, mark_stale
from relay.wire.frames import EnvelopeClass, Grant, Outcome, Submit, Target
from relay.wire.limits import MAX_TTL_SECONDS

_LATER: Final = frozenset(
    {Outcome.MAILBOX_FULL, Outcome.BUDGET_SPENT, Outcome.WORK_REQUIRED, Outcome.NOT_ALLOWED}
)
"""Whoever answers so may get the same bytes later: with room, or by another token."""


@dataclass(frozen=True, slots=True)
class Addressing:
    """Of one envelope: its submit (request id 0; None if nobody can be reached now), the account of each target, and who
    cannot be reached now.
    """

    submit: Submit | None
    accounts: tuple[bytes, ...]
    unreached: tuple[queue.Addressed, ...]

    @property
    def targets(self) -> tuple[Target, ...]:
        """Those of the submit."""
        return () if self.submit is None else self.submit.targets


def address(tx: Transaction, outgoing: queue.Outgoing, envelope: queue.GroupEnvelope) -> Addressing:
    """Targets and grants with the newest tokens. Who left the audience since gets nothing."""
    listeners = {one.account_id: one for one in audience(tx, outgoing.account_id)}
    own = load_account(tx)
    targets: list[Target] = []
    grants: list[Grant] = []
    accounts: list[bytes] = []
    unreached: list[queue.Addressed] = []
    for one in envelope.targets:
        listener = listeners.get(one.account_id)
        if listener is None:
            continue
        if not listener.devices or listener.token is None:
            unreached.append(one)
            continue
        devices = listener.devices
        if one.devices != devices or own.account_id == one.account_id:
            wanted = one.devices or devices
            devices = tuple(each for each in wanted if each in listener.devices and each != own.device_id)
        if not devices:
            continue
        targets += [Target(device, 0, len(grants)) for device in devices]
        accounts += [one.account_id] * len(devices)
        grants.append(Grant(one.account_id, listener.token, listener.version))
    submit = Submit(
        request_id=0,
        envelope_id=outgoing.envelope_id,
        envelope_class=EnvelopeClass.DURABLE,
        urgent=True,
        ttl_seconds=MAX_TTL_SECONDS,
        ciphertexts=(envelope.ciphertext,),
        targets=tuple(targets),
        grants=tuple(grants),
    )
    return Addressing(submit if targets else None, tuple(accounts), tuple(unreached))


def waits(addressing: Addressing, outcomes: Sequence[Outcome]) -> bool:
    """Whether somebody could not get it now."""
    return bool(addressing.unreached) or not _LATER.isdisjoint(outcomes)


@dataclass(frozen=True, slots=True)
class Rest:
    """After an answer: who still lacks the envelope, whether anybody has it now, and how the first refusal was called."""

    targets: tuple[queue.Addressed, ...]
    is_taken: bool
    refusal: str | None
    lists_changed: bool


def heed_outcomes(
    tx: Transaction,
    group_id: bytes,
    sent: Addressing,
    outcomes: Sequence[Outcome],
    behind: Collection[bytes],
) -> Rest:
    """What each outcome means: a full mailbox keeps its target, a changed list is fetched, a bad token is forgotten."""
    left: dict[bytes, list[bytes]] = {one.account_id: list(one.devices) for one in sent.unreached}
    changed = set(behind)
    refusal = None
    for target, account_id, outcome in zip(sent.targets, sent.accounts, outcomes, strict=True):
        match outcome:
            case Outcome.STORED | Outcome.RELAYED:
                continue
            case Outcome.UNKNOWN_DEVICE:
                changed.add(account_id)
            case Outcome.NOT_ALLOWED if sent.submit is not None:
                _forget(tx, account_id, sent.submit.grants[target.grant].token)
        if outcome in _LATER:
            left.setdefault(account_id, []).append(target.device_id)
        refusal = refusal or outcome.name.lower()
    for account_id in changed:
        mark_stale(tx, account_id)
    if changed:
        make_due(tx, group_id)
    is_taken = Outcome.STORED in outcomes
    rest = tuple(queue.Addressed(account_id, tuple(devices)) for account_id, devices in left.items())
    return Rest(rest, is_taken, refusal, bool(changed))


def _forget(tx: Transaction, account_id: bytes, token: bytes) -> None:
    """The relay takes this token no more, whatever it was for."""
    forget_group_token(tx, account_id, token)
    drop_token(tx, account_id, token)
