"""How much work a client does for what a relay asks for: as much as the protocol allows, and none above."""

import pytest

from client.relay_terms import find_terms, keep_terms
from client.store.database import Database
from relay.wire.limits import MAX_PUBLIC_WORK_BITS
from relay.wire.resources import RelayDocument


@pytest.mark.parametrize(
    ("asked", "done"), [(0, 0), (18, 18), (MAX_PUBLIC_WORK_BITS, 24), (25, 0), (60, 0), (1 << 70, 0), (-1, 0)]
)
async def test_work_is_looked_for_up_to_the_limit_and_none_above(tmp_path, asked, done):
    document = RelayDocument(
        relay="tokenim",
        versions=["v1"],
        origin="https://relay.example",
        registration="invite",
        anonymous_submit=True,
        signing_key=bytes(32),
        limits={"public_work_bits": asked},
        time_ms=1,
    )
    async with Database(tmp_path, bytes(32)) as database:
        assert (await database.run(lambda tx: keep_terms(tx, document))).public_work_bits == done
        assert (await database.read(find_terms)).public_work_bits == done
