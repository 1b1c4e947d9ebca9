"""`tokenim-relay usage` as installed: on a relay that runs, and on the folder of one that is stopped."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from relay.adapters.sqlite.store import open_sqlite_store
from relay.ports.usage import UsageDay
from relay.services.usage import DAY_MS
from tests.journeys.test_account_commands import run, told
from tests.relay_process import serving


def test_days_that_are_over_are_told_running_or_stopped(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data) as served:
        assert told("usage", data=data) == []
        assert "no day has ended yet" in run("usage", "--data", str(data)).stdout
        assert served.stop()[0] == 0

    today = time.time_ns() // 1_000_000 // DAY_MS
    days = [
        UsageDay(today - 40, 90, {"512 B": 700}),
        UsageDay(today - 2, 1_289, {"512 B": 128_999, "8 KiB": 99}),
        UsageDay(today - 1, 9, {"512 B": 5_000}),  # as a killed relay left it
    ]

    async def put() -> None:
        async with open_sqlite_store(data / "relay.sqlite3") as store:
            await store.usage.put(days)

    asyncio.run(put())
    dates = [f"{datetime.now(UTC) - timedelta(days=ago):%Y-%m-%d}" for ago in (2, 1)]
    accepted = {"512 B": 120_000, "8 KiB": 0, "64 KiB": 0, "256 KiB": 0}
    expected = [
        {"day": dates[0], "active_devices": 1_200, "accepted": accepted},
        {"day": dates[1], "active_devices": None, "accepted": None},
    ]
    assert told("usage", data=data) == expected
    assert len(told("usage", "--days", "400", data=data)) == 3
    with serving(data):
        assert told("usage", data=data) == expected
        plain = run("usage", "--data", str(data)).stdout.splitlines()
        assert plain[0].startswith(
            f"{dates[0]}      1,200 devices      120,000 of ≤ 512 B    under 100 of ≤ 8 KiB"
        )
        assert plain[1] == f"{dates[1]}  fewer than 10 devices"
    assert run("usage", "--days", "401", "--data", str(data)).returncode == 2
