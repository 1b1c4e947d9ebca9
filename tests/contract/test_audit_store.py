"""The audit log's promises, on every adapter: a row comes in the commit of what it records, and what goes leaves the tree."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

import pytest

from relay.ports.invites import Invite
from relay.ports.store import Store
from relay.services.audit import Action
from relay.wire.audit_rows import DAY_MS, NOBODY, RELAY, Party, PartyKind
from relay.wire.errors import Conflict, InviteInvalid, ManifestConflict, NotFound
from relay.wire.merkle import EMPTY_ROOT
from tests.audit_logs import audit_over, rows_of, verdict_of
from tests.contract.conftest import Reopen
from tests.contract.people import NOW_MS, bytes_of, device_field, make_manifest, registration

ANNA, BERT = (bytes_of(name, 32) for name in ("anna", "bert"))


def root_over_hashes(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, from the hashes of the leaves."""
    if len(leaves) == 1:
        return leaves[0]
    middle = 1 << ((len(leaves) - 1).bit_length() - 1)
    return sha256(b"\x01" + root_over_hashes(leaves[:middle]) + root_over_hashes(leaves[middle:])).digest()


async def told(store: Store) -> list[tuple[str, str, str]]:
    """Action, outcome and detail of each row."""
    return [
        (row.details.action, row.details.outcome, row.details.detail)
        for row in await rows_of(store.audit)
        if row.details is not None
    ]


async def test_a_row_is_kept_as_it_was_entered_over_a_restart(store: Store, reopen: Reopen) -> None:
    assert (await store.audit.tip()).root == EMPTY_ROOT
    audit = audit_over(store.audit)
    entry = audit.entry(
        Action.ROLE_GRANT,
        actor=Party.operator(1000),
        subject=Party.account(ANNA),
        outcome="not_allowed",
        detail="admin",
    )
    await store.audit.append(entry)
    await store.audit.append(audit.by_relay(Action.CONFIG_RELOAD))
    before = await rows_of(store.audit)
    store = await reopen()
    first, second = await rows_of(store.audit)
    assert (first, second) == before
    assert (first.index, first.at_ms, second.index) == (0, NOW_MS, 1)
    assert first.details is not None
    assert second.details is not None
    assert (first.details.actor.kind, first.details.actor.id) == (
        PartyKind.OPERATOR,
        (1000).to_bytes(4, "big"),
    )
    assert (first.details.subject.kind, first.details.subject.id) == (PartyKind.ACCOUNT, ANNA)
    assert (second.details.actor.kind, second.details.subject.kind) == (PartyKind.RELAY, PartyKind.NOBODY)
    assert await told(store) == [("role.grant", "not_allowed", "admin"), ("config.reload", "", "")]
    assert (await verdict_of(store.audit)).faults == ()
    assert await store.audit.rows(1, 10) == (second,)
    assert await store.audit.rows(0, 1) == (first,)
    await store.audit.append(entry)
    assert (await verdict_of(store.audit)).faults == ()


async def test_the_root_is_that_of_rfc_6962_at_every_size(store: Store) -> None:
    audit = audit_over(store.audit)
    for size in range(1, 18):
        await store.audit.append(audit.by_relay(Action.CONFIG_RELOAD))
        leaves = [row.leaf_hash for row in await rows_of(store.audit)]
        tip = await store.audit.tip()
        assert (tip.size, tip.root) == (size, root_over_hashes(leaves))


async def test_an_invite_is_recorded_in_its_own_commit_or_not_at_all(store: Store) -> None:
    audit = audit_over(store.audit)
    invite = Invite(bytes_of("invite", 32), "member", 1, None, NOW_MS)
    made, gone = (audit.by_relay(action) for action in (Action.INVITE_CREATE, Action.INVITE_REVOKE))
    await store.invites.create(invite, audited=made)
    with pytest.raises(Conflict):
        await store.invites.create(invite, audited=made)
    await store.invites.revoke(invite.secret_hash, audited=gone)
    with pytest.raises(NotFound):
        await store.invites.revoke(invite.secret_hash, audited=gone)
    assert [action for action, _, _ in await told(store)] == ["invite.create", "invite.revoke"]
    assert (await verdict_of(store.audit)).faults == ()


async def test_what_happens_to_accounts_is_recorded_once(store: Store) -> None:
    audit = audit_over(store.audit)
    await store.invites.create(Invite(bytes_of("invite", 32), "moderator", 1, None, NOW_MS))
    new = registration("anna", invite_hash=bytes_of("invite", 32))
    account_id = new.manifest.account_id
    joined = audit.by_account(Action.ACCOUNT_REGISTER, account_id)
    for _ in range(2):
        account = await store.accounts.register(new, now_ms=NOW_MS, audited=joined)
    other = registration("bert", invite_hash=bytes_of("invite", 32))
    with pytest.raises(InviteInvalid):
        await store.accounts.register(other, now_ms=NOW_MS, audited=joined)
    changed = audit.by_account(Action.MANIFEST_CHANGE, account_id)
    manifest, signed = make_manifest(
        "anna", [device_field(bytes_of("second"))], version=2, previous=account.manifest_hash
    )
    for _ in range(2):
        await store.accounts.advance_manifest(manifest, signed, now_ms=NOW_MS, audited=changed)
    late, late_signed = make_manifest(
        "anna", [device_field(bytes_of("third"))], version=9, previous=account.manifest_hash
    )
    with pytest.raises(ManifestConflict):
        await store.accounts.advance_manifest(late, late_signed, now_ms=NOW_MS, audited=changed)
    suspended = audit.entry(
        Action.ACCOUNT_SUSPEND, actor=Party.operator(0), subject=Party.account(account_id)
    )
    await store.accounts.set_suspended(account_id, True, owner="owner", audited=suspended)
    with pytest.raises(NotFound):
        await store.accounts.set_suspended(bytes(32), True, owner="owner", audited=suspended)
    await store.mark_restored(audited=audit.by_relay(Action.RESTORE))
    assert await told(store) == [
        ("account.register", "", "moderator"),
        ("manifest.change", "", ""),
        ("account.suspend", "", ""),
        ("restore", "", ""),
    ]
    assert (await verdict_of(store.audit)).faults == ()


async def test_rows_are_listed_newest_first_in_pages(store: Store) -> None:
    audit = audit_over(store.audit)
    day = DAY_MS
    times = (
        day + 5,
        day + 3,
        day,
        day + 9,
        0,
        day + 3,
        day + 7,
    )  # somebody set the clock; rows 2 and 4 are of a day
    for at_ms in times:
        await store.audit.append(replace(audit.by_relay(Action.CONFIG_RELOAD), at_ms=at_ms))

    async def listed(since_ms: int = 0, before: int | None = None, limit: int = 10) -> list[int]:
        rows = await store.audit.newest(since_ms=since_ms, before=before, limit=limit)
        return [row.index for row in rows]

    assert await listed() == [6, 5, 4, 3, 2, 1, 0]
    assert await listed(limit=2) == [6, 5]
    assert await listed(before=5, limit=2) == [4, 3]
    assert await listed(before=1) == [0]
    assert await listed(before=0) == []
    assert await listed(before=99, limit=1) == [6]
    assert await listed(since_ms=day + 5) == [6, 3, 2, 0]
    assert await listed(since_ms=day + 5, before=3) == [2, 0]
    assert await listed(since_ms=5) == [6, 5, 4, 3, 2, 1, 0]
    assert await listed(since_ms=2 * day) == []


async def test_an_id_is_erased_a_piece_at_a_time_and_the_log_still_fits(store: Store, reopen: Reopen) -> None:
    audit = audit_over(store.audit)
    for number in range(5):
        await store.audit.append(audit.by_account(Action.MANIFEST_CHANGE, ANNA if number % 2 else BERT))
    await store.audit.append(
        audit.entry(Action.ROLE_GRANT, actor=Party.account(BERT), subject=Party.account(ANNA))
    )
    head = (await audit.head()).head
    erasing = audit.by_relay(Action.AUDIT_ERASE)
    assert [await store.audit.erase(ANNA, erasing, limit=3) for _ in range(3)] == [3, 2, 0]
    store = await reopen()
    rows = await rows_of(store.audit)
    details = [row.details for row in rows if row.details is not None]
    assert [each.actor.id for each in details] == [BERT, None, BERT, None, BERT, BERT, b"", b""]
    assert [each.subject.id for each in details] == [BERT, None, BERT, None, BERT, None, b"", b""]
    assert {each.actor.salt for each in details if each.actor.erased} == {None}
    assert (await told(store))[6:] == [("audit.erase", "", "3"), ("audit.erase", "", "2")]
    assert ANNA not in repr(rows).encode()
    assert ANNA.hex() not in repr([(row, row.details) for row in rows])
    assert (await verdict_of(store.audit, head)).faults == ()


async def test_an_operator_whose_uid_is_asked_for_is_no_account(store: Store) -> None:
    audit = audit_over(store.audit)
    await store.audit.append(audit.entry(Action.INVITE_CREATE, actor=Party.operator(7), subject=NOBODY))
    assert await store.audit.erase((7).to_bytes(4, "big"), audit.by_relay(Action.AUDIT_ERASE), limit=9) == 0
    assert len(await rows_of(store.audit)) == 1


async def test_details_of_old_rows_are_dropped_and_the_log_still_fits(store: Store, reopen: Reopen) -> None:
    audit = audit_over(store.audit)
    for number in range(9):
        await store.audit.append(
            replace(audit.by_account(Action.MANIFEST_CHANGE, ANNA), at_ms=NOW_MS + number)
        )
    heads = [(await audit.head()).head]
    dropping = replace(audit.by_relay(Action.AUDIT_DROP), at_ms=NOW_MS + 100)

    async def drop() -> int:
        return await store.audit.drop_details(before_ms=NOW_MS + 5, entry=dropping, limit=3)

    assert await drop() == 3
    heads.append((await audit.head()).head)
    assert (await verdict_of(store.audit, *heads)).faults == ()
    store = await reopen()
    assert [await drop() for _ in range(2)] == [2, 0]
    rows = await rows_of(store.audit)
    assert [row.index for row in rows if row.details is None] == [0, 1, 2, 3, 4]
    assert [(row.at_ms, row.signature is None) for row in rows[:6]] == [
        *[(0, True)] * 4,
        (NOW_MS + 4, False),  # the next row covers its signature
        (NOW_MS + 5, False),
    ]
    assert [row.details.detail for row in rows[9:] if row.details is not None] == ["3", "5"]
    assert (await verdict_of(store.audit, *heads)).faults == ()
    listed = await store.audit.newest(since_ms=0, before=None, limit=99)
    assert {row.index for row in listed} == {5, 6, 7, 8, 9, 10}


async def test_with_everything_dropped_the_log_goes_on(store: Store) -> None:
    audit = audit_over(store.audit)
    for _ in range(3):
        await store.audit.append(audit.by_relay(Action.CONFIG_RELOAD))
    dropping = replace(audit.by_relay(Action.AUDIT_DROP), at_ms=NOW_MS + 10)
    assert await store.audit.drop_details(before_ms=NOW_MS + 1, entry=dropping, limit=99) == 3
    await store.audit.append(audit.by_relay(Action.CONFIG_RELOAD))
    assert (await verdict_of(store.audit)).faults == ()
    assert await store.audit.erase(ANNA, audit.by_relay(Action.AUDIT_ERASE), limit=9) == 0


def test_what_a_person_wrote_does_not_get_in() -> None:
    audit = audit_over(None)  # type: ignore[arg-type]
    for text in ("a handle?", "Anna", "x" * 65, "line\n"):
        with pytest.raises(ValueError, match="fixed vocabularies"):
            audit.entry(Action.ROLE_GRANT, actor=RELAY, detail=text)
