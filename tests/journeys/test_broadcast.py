"""A real client speaks to a crowd of devices in a broadcast group: one stored ciphertext for all, joins re-key nobody, a
removal does. `make broadcast` plays it with 10,000.
"""

import pytest

from bench.broadcast import Broadcast, Meters, count_shared
from bench.crowd import Crowd
from tests.chatting import open_people

LISTENERS = 60
JOINS = 20


@pytest.mark.timeout(120)  # 80 accounts, on a machine that tests other things meanwhile
async def test_b5_a_crowd_hears_one_sender_and_only_a_removal_re_keys(tmp_path):
    async with open_people(tmp_path, "sender", store="sqlite") as people:
        sender = await people.enter("sender")
        relay = people.world.relay
        meters = Meters(lambda: 0.0, lambda: count_shared(relay.folder))

        async def invite(uses: int) -> str:
            return await relay.invite(uses=uses)

        broadcast = Broadcast(sender, Crowd, invite, meters, patience_seconds=50)
        await broadcast.play(LISTENERS, JOINS)
    # Everybody heard everything once, as `play` counts; the one who was removed reads nothing of what followed.
    assert broadcast.problems == []
    came, first, joined, second, removal, third = broadcast.steps
    assert came.requests == LISTENERS
    assert first.hearing.envelopes == {"chain": LISTENERS, "message": LISTENERS}
    assert joined.hearing.envelopes["secret"] == second.hearing.envelopes["secret"] == 0
    assert broadcast.envelopes_of_joins < 20 * JOINS
    assert removal.hearing.envelopes["secret"] == LISTENERS + JOINS - 1
    assert third.hearing.envelopes["chain"] == LISTENERS + JOINS - 1
