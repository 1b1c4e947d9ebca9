"""A relay that says over and over that no one-time keys are left: what that may cost a client has an end."""

from client.message import Warned
from client.prekey_care import MAX_MADE_A_DAY, tend_prekeys
from client.store.prekey_rows import load_prekeys
from crypto.prekeys import KeyClass, KeyKind
from relay.wire.resources import PrekeyKind, PrekeyStock, PrekeyStockAnswer
from tests.client_pair import DAY_MS, Clock, Person, open_person


class Drained:
    """A relay that takes what is uploaded and says that nothing is there."""

    uploads = 0

    async def ask(self, method, target, *, body=None, signed=False):
        assert (target, signed) == ("/v1/prekeys", True)
        if method == "POST":
            self.uploads += len(body.keys)
        return self

    def read(self, kind):
        assert kind is PrekeyStockAnswer
        stock = [PrekeyStock(kind=kind, one_time_left=0, highest_id=0) for kind in PrekeyKind]
        return PrekeyStockAnswer(stock=stock, digest=bytes(32))


async def one_time_keys(person: Person) -> list[int]:
    keys = (await person.database.read(load_prekeys)).keys
    return [
        sum(key.kind is kind and key.key_class is KeyClass.ONE_TIME for key in keys)
        for kind in (KeyKind.KEM, KeyKind.ONE_TIME)
    ]


async def test_a_relay_that_says_its_stock_is_empty_gets_no_more_than_a_day_s_share(tmp_path):
    async with open_person(tmp_path / "bob", "bob", Clock()) as bob:
        begun = await one_time_keys(bob)
        relay = Drained()

        async def say_low(times: int) -> None:
            for _ in range(times):
                await tend_prekeys(relay, bob.database, bob.account, bob.system)

        await say_low(10)
        assert await one_time_keys(bob) == [count + MAX_MADE_A_DAY for count in begun]
        assert await bob.warned() == []
        await say_low(5)
        assert await one_time_keys(bob) == [count + MAX_MADE_A_DAY for count in begun]
        standing_again = 3 * 15  # it never had any, it says
        assert relay.uploads == 2 * MAX_MADE_A_DAY + standing_again
        (told,) = await bob.told()
        assert isinstance(told, Warned)
        assert told.kind == "prekeys_drained"

        bob.clock.ms += DAY_MS
        await say_low(3)
        assert await one_time_keys(bob) == [count + MAX_MADE_A_DAY + 300 for count in begun]
        assert await bob.warned() == ["prekeys_drained"]
