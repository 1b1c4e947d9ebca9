"""What journeys of commands start with."""

import pytest

from tests.faults.relay_process import RelayProcess


@pytest.fixture
async def relay(tmp_path):
    async with RelayProcess(tmp_path / "relay", tmp_path / "relay.log") as running:
        await running.start()
        yield running
