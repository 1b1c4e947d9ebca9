"""What a group's errand could not do is tried again soon where the relay is away for a moment, and later where it refuses."""

from typing import Any

import pytest

from client.errors import Refused, RelayMisbehaved, RelayUnreachable
from client.groups.care import GroupCare
from client.system import this_machine


@pytest.fixture
def care() -> GroupCare:
    nothing: Any = None
    names = (
        "fetch_list",
        "care_for_token",
        "store_state",
        "on_way_in",
        "fetch_state",
        "on_drafts",
        "on_news",
    )
    return GroupCare(nothing, nothing, this_machine(), **dict.fromkeys(names, nothing))


def test_a_relay_that_is_away_is_asked_again_in_two_seconds_and_then_ever_later(care: GroupCare) -> None:
    away = Refused("unavailable", "", retryable=True)
    waits = [care._wait_ms(error) for error in (RelayUnreachable("gone"), *[away] * 11)]
    assert waits[:3] == [2_000] * 3
    assert 15_000 <= waits[-1] <= 30_000
    assert sorted(waits[:7]) == waits[:7]  # later ones are by chance within the same bound


def test_what_the_relay_asks_for_is_waited(care: GroupCare) -> None:
    assert care._wait_ms(Refused("rate_limited", "", retryable=True, retry_after_ms=45_000)) == 45_000


@pytest.mark.parametrize("error", [Refused("not_allowed", ""), RelayMisbehaved("nonsense")])
def test_a_refusal_is_looked_at_later(care: GroupCare, error: Refused) -> None:
    assert [care._wait_ms(error) for _ in range(3)] == [30_000] * 3
