"""Two nodes on one PostgreSQL do the same at the same moment: what may happen once happens once, and nothing is passed by."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
import pytest

from relay.adapters.postgres import mailbox_rows
from relay.ports.invites import Invite
from relay.ports.mailboxes import StoredEnvelope
from relay.ports.prekeys import Claim
from relay.ports.store import Store
from relay.wire.errors import (
    HandleTaken,
    InviteInvalid,
    LastOwner,
    ManifestConflict,
    QuotaExceeded,
    Unauthenticated,
)
from relay.wire.frames import Outcome
from relay.wire.log_leaves import LeafKind
from relay.wire.prekeys import PrekeyKind
from tests.contract.envelopes import page, send, submission
from tests.contract.people import (
    NOW_MS,
    bytes_of,
    device_field,
    make_manifest,
    new_account,
    new_device,
    one_time_prekeys,
    registration,
    standing_prekeys,
)

Nodes: TypeAlias = tuple[Store, Store]
ROUNDS = 8


async def outcomes(*calls) -> list[object]:
    """What came of calls that run at once: results, or errors."""
    return await asyncio.gather(*calls, return_exceptions=True)


def errors_of(found: list[object]) -> list[type]:
    return [type(one) for one in found if isinstance(one, BaseException)]


@asynccontextmanager
async def raw(store: Store) -> AsyncIterator[asyncpg.Connection]:
    """A connection beside the store's, to look at rows, or to hold them."""
    async with store.database.pool.acquire() as connection:
        yield connection


async def check_rows(store: Store) -> None:
    """What rows say of each other: counters of mailboxes, copies and who waits for them, owners and keys of devices."""
    async with raw(store) as connection:
        wrong = await connection.fetch(
            """SELECT 'counter' FROM mailboxes AS m LEFT JOIN (
                   SELECT device_id, count(*) AS envelopes, sum(bytes) AS bytes, max(sequence) AS highest
                   FROM envelopes GROUP BY device_id) AS e USING (device_id)
               WHERE m.envelopes <> coalesce(e.envelopes, 0) OR m.bytes <> coalesce(e.bytes, 0)
                   OR m.given_up_to < coalesce(e.highest, 0)
               UNION ALL SELECT 'copy' FROM shared_waiting AS w FULL JOIN (
                   SELECT shared_id, count(*) AS count FROM envelopes WHERE shared_id IS NOT NULL GROUP BY 1) AS e
                   USING (shared_id) WHERE w.waiting IS DISTINCT FROM e.count
               UNION ALL SELECT 'ciphertext' FROM shared_ciphertexts WHERE shared_id NOT IN (
                   SELECT shared_id FROM shared_waiting)
               UNION ALL SELECT 'device' FROM device_owners AS o FULL JOIN devices AS d USING (device_id)
                   FULL JOIN mailboxes AS m USING (device_id)
                   WHERE o.account_id IS DISTINCT FROM d.account_id OR m.device_id IS NULL
               UNION ALL SELECT 'key' FROM device_keys AS k FULL JOIN devices AS d USING (device_id)
                   WHERE k.device_id IS NULL OR d.device_id IS NULL
               UNION ALL SELECT 'handle' FROM handles AS h FULL JOIN (
                   SELECT account_id, handle FROM accounts WHERE handle IS NOT NULL) AS a USING (handle)
                   WHERE h.account_id IS DISTINCT FROM a.account_id
               UNION ALL SELECT 'leaf' FROM transparency_log
                   WHERE size <> (SELECT count(*) FROM transparency_leaves)
                   OR size <> (SELECT coalesce(max(leaf_index) + 1, 0) FROM transparency_leaves)"""
        )
    assert [row[0] for row in wrong] == []


async def test_a2_a_one_time_key_is_given_at_most_once_whichever_node_is_asked(two_nodes: Nodes) -> None:
    one, other = two_nodes
    device = await new_device(one, "anna")
    keys = [
        *standing_prekeys(),
        *one_time_prekeys(PrekeyKind.ONE_TIME, 2, 40),
        *one_time_prekeys(PrekeyKind.KEM, 2, 40),
    ]
    await one.prekeys.append(device, keys)
    found = await asyncio.gather(
        *(node.prekeys.claim([Claim(device, True)]) for _ in range(30) for node in (one, other))
    )
    given = [claimed for (claimed,) in found if claimed is not None]
    assert len(given) == 60
    one_time = [claimed.one_time for claimed in given if claimed.one_time is not None]
    assert len(one_time) == len(set(one_time)) == 40
    kem = [claimed.kem for claimed in given]
    assert len(set(kem)) == 41  # forty, and the one of last resort for all others
    assert sum(kem.count(key) > 1 for key in set(kem)) == 1


async def test_f11_the_same_submit_a_hundred_times_on_two_nodes_is_one_envelope(two_nodes: Nodes) -> None:
    one, other = two_nodes
    device = await new_device(one, "anna")
    results = await asyncio.gather(
        *(send(node, submission(1, device)) for _ in range(50) for node in (one, other))
    )
    assert {result.appended[0].outcomes for result in results} == {(Outcome.STORED,)}
    assert sorted(result.appended[0].sequences[0] for result in results) == [0] * 99 + [1]
    assert len((await page(other, device)).items) == 1
    await check_rows(one)


async def test_sequences_of_a_mailbox_have_no_gap_and_no_double_over_two_nodes(two_nodes: Nodes) -> None:
    one, other = two_nodes
    devices = [await new_device(one, name) for name in ("anna", "bert", "carl")]

    async def write(node: Store, name: str) -> None:
        for number in range(6):
            targets = devices if number % 2 else [devices[number % 3]]
            result = await send(node, submission((name, number), *targets))
            assert set(result.appended[0].outcomes) == {Outcome.STORED}

    await asyncio.gather(
        *(write(node, f"{place}{turn}") for place, node in enumerate(two_nodes) for turn in range(2))
    )
    for device in devices:
        items = (await page(other, device)).items
        assert [item.sequence for item in items if isinstance(item, StoredEnvelope)] == list(
            range(1, len(items) + 1)
        )
    await check_rows(one)
    counts = {device: len((await page(one, device)).items) for device in devices}
    await asyncio.gather(
        *(node.mailboxes.ack(device, up_to=counts[device]) for device in devices for node in two_nodes)
    )
    await check_rows(one)
    async with raw(one) as connection:
        assert await connection.fetchval("SELECT count(*) FROM shared_ciphertexts") == 0


async def held_back(one: Store, other: Store, device: bytes, readers: int = 1) -> list[list[int]]:
    """What readers see while a transaction holds envelope 1 back and another node appends one more, and at the end.

    Several at once are one statement.
    """
    seen: list[list[int]] = []

    async def look() -> None:
        found = await asyncio.gather(*(page(other, device) for _ in range(readers)))
        items = found[-1].items
        assert [each.items for each in found] == [items] * readers
        seen.append([item.sequence for item in items if isinstance(item, StoredEnvelope)])

    async with raw(one) as connection:
        transaction = connection.transaction()
        await transaction.start()
        ((_, given, *_),) = await connection.fetch(mailbox_rows.LOCK, [device])
        await connection.execute(
            "UPDATE mailboxes SET given_up_to = $2 WHERE device_id = $1", device, given + 1
        )
        await connection.execute(
            """INSERT INTO envelopes (device_id, sequence, expires_at_ms, received_at_ms, bytes, envelope_id, digest,
                                      ciphertext)
               VALUES ($1, $2, $3, $4, 1, $5, substr(sha256('x'), 1, 16), 'x')""",
            *(device, given + 1, NOW_MS + 10**6, NOW_MS, bytes(16)),
        )
        await look()
        behind = asyncio.ensure_future(send(other, submission(2, device)))
        await asyncio.wait([behind], timeout=0.3)
        await look()
        await transaction.commit()
    await behind
    await look()
    return seen


@pytest.mark.parametrize("readers", [1, 2])
async def test_a_reader_never_passes_by_a_sequence_that_commits_later(two_nodes: Nodes, readers: int) -> None:
    one, other = two_nodes
    assert await held_back(one, other, await new_device(one, "anna"), readers) == [[], [], [1, 2]]


@pytest.mark.parametrize("readers", [1, 2])
async def test_a_sequence_that_is_taken_without_the_lock_is_seen_by_that(
    two_nodes: Nodes, monkeypatch: pytest.MonkeyPatch, readers: int
) -> None:
    """The same with a counter that another node reads past an uncommitted one, as a sequence of PostgreSQL would."""
    one, other = two_nodes
    device = await new_device(one, "anna")
    from relay.adapters.postgres import mailbox_counters, mailbox_writes

    unlocked = mailbox_rows.LOCK_BRIEFLY.replace("given_up_to", "given_up_to + 1", 1).replace(
        "FOR UPDATE", ""
    )
    saving = mailbox_writes._WRITE.replace("WHERE m.device_id", "WHERE false AND m.device_id", 1)
    monkeypatch.setattr(mailbox_counters, "LOCK_BRIEFLY", unlocked)
    monkeypatch.setattr(mailbox_writes, "_WRITE", saving)
    seen = await held_back(one, other, device, readers)
    assert seen[1] == [2]  # number 1 is committed behind the reader's back
    assert seen != [[], [], [1, 2]]


async def test_a_nonce_is_spent_once_over_two_nodes(two_nodes: Nodes) -> None:
    for number in range(ROUNDS):
        found = await outcomes(
            *(
                node.accounts.spend_nonce(bytes(16), bytes_of(number), expires_at_ms=NOW_MS)
                for node in two_nodes * 3
            )
        )
        assert errors_of(found) == [Unauthenticated] * 5


async def test_an_invite_of_one_use_makes_one_account_on_two_nodes(two_nodes: Nodes) -> None:
    one, other = two_nodes
    for number in range(ROUNDS):
        secret_hash = bytes_of(("invite", number), 32)
        await one.invites.create(Invite(secret_hash, "member", 1, None, NOW_MS))
        found = await outcomes(
            *(
                node.accounts.register(registration((number, place), invite_hash=secret_hash), now_ms=NOW_MS)
                for place, node in enumerate((one, other, one, other))
            )
        )
        assert errors_of(found) == [InviteInvalid] * 3
    assert await other.accounts.accounts_count() == ROUNDS
    await check_rows(one)


async def test_the_same_registration_on_two_nodes_at_once_is_one_account(two_nodes: Nodes) -> None:
    for number in range(ROUNDS):
        new = registration(number)
        found = await outcomes(*(node.accounts.register(new, now_ms=NOW_MS) for node in two_nodes * 2))
        assert errors_of(found) == []
        assert len({account.account_id for account in found}) == 1
    assert await two_nodes[0].accounts.accounts_count() == ROUNDS
    await check_rows(two_nodes[0])


async def test_a_handle_goes_to_one_account_on_two_nodes(two_nodes: Nodes) -> None:
    one, other = two_nodes
    people = [await new_account(one, name) for name in ("anna", "bert")]
    for number in range(ROUNDS):
        found = await outcomes(
            *(
                node.accounts.set_handle(person.account_id, f"name-{number}", bytes(16), now_ms=NOW_MS)
                for node, person in zip((one, other), people, strict=True)
            )
        )
        assert errors_of(found) == [HandleTaken]
        await check_rows(one)


async def test_the_last_owner_stays_though_two_nodes_take_one_each(two_nodes: Nodes) -> None:
    one, other = two_nodes
    people = [await new_account(one, name) for name in ("anna", "bert")]
    for _ in range(ROUNDS):
        for person in people:
            await one.accounts.set_role(person.account_id, "owner", owner="owner")
        found = await outcomes(
            *(
                node.accounts.set_role(person.account_id, "member", owner="owner")
                for node, person in zip((one, other), people, strict=True)
            )
        )
        assert errors_of(found) == [LastOwner]


async def test_of_two_next_manifests_on_two_nodes_one_is_kept_and_leaves_have_no_gap(
    two_nodes: Nodes,
) -> None:
    one, other = two_nodes
    first, second = bytes_of("first"), bytes_of("second")
    account = await new_account(one, "anna", [first])
    made = [
        make_manifest(
            "anna", [device_field(first), device_field(new)], version=2, previous=account.manifest_hash
        )
        for new in (second, bytes_of("third"))
    ]
    found = await outcomes(
        *(
            node.accounts.advance_manifest(manifest, signed, now_ms=NOW_MS)
            for node, (manifest, signed) in zip((one, other), made, strict=True)
        )
    )
    assert errors_of(found) == [ManifestConflict]
    await asyncio.gather(
        *(new_account(node, (number, node is one)) for number in range(ROUNDS) for node in two_nodes)
    )
    assert (await one.transparency.state()).size == 2 + 2 * ROUNDS
    assert await other.transparency.find(LeafKind.MANIFEST, account.account_id, 2) is not None
    await check_rows(one)


async def test_a_quota_of_delivery_tokens_holds_over_two_nodes(two_nodes: Nodes) -> None:
    from relay.ports.delivery_tokens import DeliveryToken, TokenClass
    from relay.wire import limits

    one, other = two_nodes
    account = await new_account(one, "anna")

    def token(number: int) -> DeliveryToken:
        return DeliveryToken(bytes_of(number, 32), TokenClass.CONTACT)

    for number in range(limits.MAX_DELIVERY_TOKENS - 2):
        await one.delivery_tokens.add(account.account_id, token(number), now_ms=NOW_MS)
    found = await outcomes(
        *(
            node.delivery_tokens.add(account.account_id, token(10**6 + place), now_ms=NOW_MS)
            for place, node in enumerate((one, other) * 4)
        )
    )
    assert errors_of(found) == [QuotaExceeded] * 6
