"""A claim takes one key of a kind from PostgreSQL, whatever plan it makes of the statement."""

from relay.adapters.postgres.prekeys import _TAKE
from relay.ports.store import Store
from relay.wire.prekeys import PrekeyClass, PrekeyKind
from tests.contract.people import new_device, one_time_prekeys, standing_prekeys
from tests.contract.test_two_nodes import raw


async def test_a2_the_key_to_take_is_looked_for_once(two_nodes: tuple[Store, Store]) -> None:
    """A subquery in its place may be run for each row of a loop: it finds the next key each time, and all are deleted."""
    store, _ = two_nodes
    device = await new_device(store, "anna")
    await store.prekeys.append(device, [*standing_prekeys(), *one_time_prekeys(PrekeyKind.ONE_TIME, 2, 3)])
    asked = device, int(PrekeyKind.ONE_TIME), int(PrekeyClass.ONE_TIME)
    async with raw(store) as connection:
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {_TAKE}", *asked))
        assert plan.count("LockRows") == 1
        assert plan.index("CTE taken") < plan.index("LockRows") < plan.index("CTE Scan on taken")
        for left in (2, 1, 0):
            assert len(await connection.fetch(_TAKE, *asked)) == 1
            assert await store.prekeys.count_one_time() == left
