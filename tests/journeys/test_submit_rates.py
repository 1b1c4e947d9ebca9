"""What one connection, and one address prefix by all its requests, may submit in a time."""

from relay.wire.frames import Accepted, Outcome, Refused
from tests.raw_socket import anonymous, over_http, stored, submit_to
from tests.running_relay import open_world

CONTACT = bytes(range(16))


async def test_one_connection_submits_so_much_and_an_address_so_much_by_all_its_requests():
    slow = {"burst": 3, "per_second": 0.01}
    async with open_world(
        rates={"submit": slow, "submit_address": slow}, proxy={"trusted": ["127.0.0.1"]}
    ) as world:
        bob = await world.member()
        assert (await bob.add_token(CONTACT, "contact")).status == 204
        async with anonymous(bob) as flood, anonymous(bob) as other:
            await flood.send(*(submit_to(bob, CONTACT, request_id=number) for number in range(1, 6)))
            answers = [await flood.next() for _ in range(5)]
            assert [type(one) for one in answers] == [Accepted] * 3 + [Refused] * 2
            refused = answers[-1]
            assert isinstance(refused, Refused)
            assert (refused.request_id, refused.code) == (5, "rate_limited")
            assert 0 < refused.retry_after_ms <= 100_001
            await stored(other, submit_to(bob, CONTACT))
            world.clock.let_pass(seconds=101)
            await flood.send(submit_to(bob, CONTACT))
            assert (await flood.expect(Accepted)).outcomes == (Outcome.STORED,)
        far = [await over_http(bob, submit_to(bob, CONTACT), address="192.0.2.7") for _ in range(4)]
        assert [one.status for one in far] == [200, 200, 200, 429]
        assert int(far[-1].headers["Retry-After"]) > 0
        assert (await over_http(bob, submit_to(bob, CONTACT), address="198.51.100.7")).status == 200
