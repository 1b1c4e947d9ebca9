"""What one message or one wish costs does not grow with how many there are of them already: counted, not timed."""

from client.store import group_wants
from client.store.session_rows import all_sessions, save_sessions
from crypto.group_proposals import add
from crypto.sessions import PeerSessions
from tests.client_pair import Clock, open_person
from tests.group_town import open_town

MANY = 300


def peer(number: int) -> tuple[tuple[bytes, bytes], PeerSessions]:
    key = number.to_bytes(32, "big"), number.to_bytes(16, "big")
    return key, PeerSessions(*key)


async def test_a_session_that_changed_is_written_alone_and_is_tried_first_from_then_on(tmp_path):
    async with open_person(tmp_path / "alice", "alice", Clock()) as alice:
        own = alice.account.account_id, alice.account.device_id
        for number in range(MANY):
            alice.clock.ms += 1
            one = dict([peer(number)])
            await alice.database.run(lambda tx, one=one: save_sessions(tx, own, one, alice.clock.now()))
        known = await alice.database.read(lambda tx: all_sessions(tx, own))
        assert list(known) == [peer(number)[0] for number in range(MANY)]

        def save_one(tx):
            rows = tx.run("UPDATE sessions SET changed_at_ms = changed_at_ms")
            before = tx.one("SELECT total_changes()")[0]
            save_sessions(tx, own, dict([peer(7)]), alice.clock.now() + 1)
            return rows, tx.one("SELECT total_changes()")[0] - before, all_sessions(tx, own)

        rows, written, after = await alice.database.run(save_one)
        assert (rows, written) == (MANY, 1)
        assert after is known  # nobody copied the others
        assert next(reversed(after)) == peer(7)[0]

        # The rows say the same.
        await alice.database.run(lambda tx: tx.cache.clear())
        again = await alice.database.read(lambda tx: all_sessions(tx, own))
        assert list(again) == list(after)


async def test_what_is_wanted_already_is_not_read_for_each_further_wish(tmp_path, monkeypatch):
    async with open_town(tmp_path, "alice") as (_, (alice,)):
        group = await alice.create()
        wishes = [add(number.to_bytes(32, "big"), 1) for number in range(MANY)]
        numbers = await alice.want(group, *wishes)
        assert len(set(numbers)) == MANY

        parsed = []
        read = group_wants.parse_change
        monkeypatch.setattr(group_wants, "parse_change", lambda encoded: parsed.append(1) or read(encoded))
        (other,) = await alice.want(group, add(bytes(31) + b"\xff", 2))
        assert other not in numbers
        assert await alice.want(group, wishes[-1], wishes[0]) == [numbers[-1], numbers[0]]
        cut = await alice.want_cut(group)
        assert await alice.want_cut(group) == cut
        assert parsed == []
        assert len(await alice.do(lambda tx: group_wants.wants(tx, group))) == MANY + 2
        assert len(parsed) == MANY + 1
