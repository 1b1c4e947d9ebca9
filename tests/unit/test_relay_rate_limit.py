"""GCRA: the burst, the rate, and memory that stays bounded."""

import pytest

from relay.config import RateSettings
from relay.services import rate_limit
from relay.services.rate_limit import Gcra, Rates, SubmitMeter, address_prefix
from relay.wire.errors import RateLimited


class Ticks:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.ms = 5_000

    def __call__(self) -> int:
        return self.ms


def test_a_burst_then_one_in_each_unit():
    now = Ticks()
    limit = Gcra(burst=3, seconds_per_unit=10, monotonic_ms=now)
    assert [limit.take("a") for _ in range(4)] == [0, 0, 0, 10_001]
    assert limit.take("b") == 0
    now.ms += 9_999
    assert limit.take("a") > 0
    now.ms += 2
    assert [limit.take("a"), limit.take("a") > 0] == [0, True]


def test_a_refused_take_costs_nothing():
    now = Ticks()
    limit = Gcra(burst=1, seconds_per_unit=1, monotonic_ms=now)
    limit.take("a")
    for _ in range(100):
        assert limit.take("a") == 1_001
    now.ms += 1_001
    assert limit.take("a") == 0


def test_a_rest_restores_the_whole_burst_and_no_more():
    now = Ticks()
    limit = Gcra(burst=2, seconds_per_unit=1, monotonic_ms=now)
    assert [limit.take("a"), limit.take("a")] == [0, 0]
    now.ms += 3_600_000
    assert [limit.take("a") > 0 for _ in range(4)] == [False, False, True, True]


def test_another_limit_counts_what_was_taken():
    now = Ticks()
    limit = Gcra(burst=4, seconds_per_unit=1, monotonic_ms=now)
    assert [limit.take("a") for _ in range(3)] == [0, 0, 0]
    limit.change(burst=2, seconds_per_unit=1)
    assert limit.take("a") == 2_001
    limit.change(burst=10, seconds_per_unit=1)
    assert [limit.take("a") > 0 for _ in range(8)] == [False] * 7 + [True]


def test_memory_is_bounded_and_those_in_debt_are_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rate_limit, "MAX_KEYS", 10)
    now = Ticks()
    limit = Gcra(burst=1, seconds_per_unit=10, monotonic_ms=now)
    for key in range(10):
        limit.take(key)
    now.ms += 10_001
    limit.take("fresh")
    limit.take("fresh2")
    for key in range(20, 100):
        limit.take(key)
        assert len(limit._arrivals) <= 10
    assert limit.take(99) > 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.255", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("2001:db8:1::1", "2001:db8:1:ffff::2", True),
        ("2001:db8:1::1", "2001:db8:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.9", True),
        ("fe80::1%eth0", "fe80::2", True),
    ],
)
def test_addresses_are_counted_by_network(one: str, other: str, same: bool):
    assert (address_prefix(one) == address_prefix(other)) is same


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "", "not an address"])
def test_loopback_is_not_counted(address: str):
    assert address_prefix(address) is None


def test_a_refusal_says_when_to_come_again():
    settings = RateSettings.model_validate({"lookup": {"burst": 1, "per_second": 0.25}})
    rates = Rates(settings, monotonic_ms=Ticks(), key=bytes(32))
    rates.take_lookup(b"device")
    with pytest.raises(RateLimited) as refused:
        rates.take_lookup(b"device")
    assert refused.value.retry_after_ms == 4_001
    rates.take_lookup(b"another")


def meters(now: Ticks, *addresses: str | None, burst: int = 3, prefix_burst: int = 4) -> list[SubmitMeter]:
    settings = RateSettings.model_validate(
        {
            "submit": {"burst": burst, "per_second": 0.5},
            "submit_address": {"burst": prefix_burst, "per_second": 0.1},
        }
    )
    rates = Rates(settings, monotonic_ms=now, key=bytes(32))
    return [rates.submit_meter(address) for address in addresses]


def test_a_connection_submits_its_burst_and_the_next_one_has_its_own():
    now = Ticks()
    one, other = meters(now, None, None)
    one.take(3)
    with pytest.raises(RateLimited) as refused:
        one.take(1)
    assert refused.value.retry_after_ms == 2_001
    other.take(3)
    now.ms += 2_001
    one.take(1)


def test_connections_from_one_network_share_what_it_may_submit():
    now = Ticks()
    one, neighbour, stranger = meters(now, "192.0.2.1", "192.0.2.9", "198.51.100.1")
    one.take(3)
    neighbour.take(1)
    with pytest.raises(RateLimited) as refused:
        neighbour.take(1)
    assert refused.value.retry_after_ms == 10_001
    stranger.take(3)


def test_a_submit_with_more_targets_than_the_burst_comes_when_nothing_came_before():
    now = Ticks()
    (one,) = meters(now, "192.0.2.1")
    one.take(10_000)
    with pytest.raises(RateLimited):
        one.take(1)
    now.ms += 40_000
    one.take(10_000)


def test_what_comes_together_is_taken_as_a_whole_or_not_at_all():
    now = Ticks()
    together, singly = meters(now, None, None)
    assert together.take_together([1, 2])
    singly.take(1)
    singly.take(2)
    for meter in (together, singly):
        with pytest.raises(RateLimited) as refused:
            meter.take(1)
        assert refused.value.retry_after_ms == 2_001
    assert not together.take_together([1])
    now.ms += 2_001
    assert not together.take_together([1, 1])
    assert together.take_together([1])


def test_what_the_address_prefix_has_not_is_not_taken_from_the_connection_either():
    now = Ticks()
    first, second = meters(now, "192.0.2.1", "192.0.2.2")
    assert first.take_together([3])
    assert not second.take_together([1, 1])
    second.take(1)
    now.ms += 20_001
    assert second.take_together([2])


def test_more_than_the_burst_never_comes_together():
    (meter,) = meters(Ticks(), "192.0.2.1", burst=9, prefix_burst=2)
    assert not meter.take_together([3])
    meter.take(3)
