"""What one message or one wish costs does not grow with how many there are of them already: counted, not timed."""

from client.mailbox_round import in_batch
from client.store import group_wants
from client.store.group_sending import audience
from client.store.peers import AUDIENCES, find_peer, learn_token, note_received, note_sent
from client.store.session_rows import Trial, all_sessions, save_sessions, sessions_of
from client.trust import adopt
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


class Unwalked(dict):
    """Sessions that must not be walked through."""

    def __iter__(self):
        raise AssertionError("all sessions were walked through")

    items = keys = values = __reversed__ = __iter__


async def test_a_new_peer_and_a_new_batch_walk_through_no_sessions_of_others(tmp_path):
    async with (
        open_person(tmp_path / "alice", "alice", Clock()) as alice,
        open_person(tmp_path / "bob", "bob", Clock()) as bob,
    ):
        own, bobs = alice.account, (bob.id, bytes(16))
        ids = own.account_id, own.device_id

        def meet(tx):
            save_sessions(tx, ids, dict(map(peer, range(MANY))) | {bobs: PeerSessions(*bobs)}, 1)
            sessions_of(tx, ids, bob.id)  # the first reading walks
            tx.cache["sessions"] = Unwalked(all_sessions(tx, ids))
            adopt(tx, own, bob.account.own, 1)
            found = []
            in_batch(tx, alice.system, lambda batch: found.append(batch.sessions.find(peer(7)[0])))
            return sessions_of(tx, ids, bob.id), found

        of_bob, found = await alice.database.run(meet)
        assert list(of_bob) == [bobs]
        assert found[0] is not None
        assert found[0].account_id == peer(7)[0][0]


def test_what_a_transaction_changed_is_tried_first_and_only_as_it_is_now():
    kept = dict(map(peer, range(4)))
    trial = Trial(kept)
    (key, first), (other, _) = peer(1), peer(3)
    trial.put(key, first)
    trial.put(other, peer(3)[1])
    trial.put(key, first)
    assert [one for one, _ in trial.newest_first()] == [peer(number)[0] for number in (1, 3, 2, 0)]
    assert dict(trial.newest_first())[key] is first
    assert trial.find(key) is trial.existing(key) is first
    assert trial.existing(peer(0)[0]) is kept[peer(0)[0]]
    assert trial.find(peer(9)[0]) is None
    assert list(trial.changed) == [other, key]


async def test_what_is_counted_of_a_member_does_not_have_all_members_read_anew(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob)

        def look(tx):
            before = audience(tx, group)
            note_received(tx, bob.id, 1)
            note_sent(tx, bob.id, 1, by_user=True)
            assert find_peer(tx, bob.id).received_since_send == 0
            assert audience(tx, group) is before
            learn_token(tx, bob.id, b"another token 16", "contact")
            assert AUDIENCES not in tx.cache
            return next(one for one in audience(tx, group) if one.account_id == bob.id)

        assert (await alice.do(look)).devices == (bob.device,)


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
