"""What journeys of commands start with."""

import pytest

from tests.faults.relay_process import RelayProcess, warm_relay


@pytest.fixture
async def relay(tmp_path):
    async with RelayProcess(tmp_path / "relay", tmp_path / "relay.log", program=warm_relay()) as running:
        await running.start()
        yield running
