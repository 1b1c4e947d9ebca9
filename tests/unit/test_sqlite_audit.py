"""Rows of the audit log share the commit of what they record: no kill can come between."""

from pathlib import Path

from relay.adapters.sqlite.store import open_sqlite_store
from relay.ports.invites import Invite
from relay.services.audit import Action
from tests.audit_logs import audit_over, rows_of
from tests.contract.people import NOW_MS, bytes_of, registration


async def test_e4_a_row_is_in_the_commit_of_what_it_records(tmp_path: Path) -> None:
    async with open_sqlite_store(tmp_path / "relay.sqlite3", reserve_bytes=0) as store:
        audit = audit_over(store.audit)
        invite, new = Invite(bytes_of("invite", 32), "member", 1, None, NOW_MS), registration("anna")
        account_id = new.manifest.account_id
        for change in (
            lambda: store.invites.create(invite, audited=audit.by_relay(Action.INVITE_CREATE)),
            lambda: store.invites.revoke(invite.secret_hash, audited=audit.by_relay(Action.INVITE_REVOKE)),
            lambda: store.accounts.register(
                new, now_ms=NOW_MS, audited=audit.by_account(Action.ACCOUNT_REGISTER, account_id)
            ),
            lambda: store.accounts.set_suspended(
                account_id, True, owner="owner", audited=audit.by_relay(Action.ACCOUNT_SUSPEND)
            ),
            lambda: store.mark_restored(audited=audit.by_relay(Action.RESTORE)),
        ):
            commits, size = store.counts.commits, (await store.audit.tip()).size
            await change()
            assert store.counts.commits == commits + 1
            assert (await store.audit.tip()).size == size + 1
        assert [row.index for row in await rows_of(store.audit)] == [0, 1, 2, 3, 4]
