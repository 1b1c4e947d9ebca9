"""F1: a relay that is killed at random keeps every promise, and the loop would see it if it did not."""

import pytest

from tests.faults import kills
from tests.faults.checker import CheckFailed
from tests.faults.relay_process import RelayProcess, warm_broken_relay, warm_relay

KILLS = 5  # for each of two seeds


@pytest.mark.proves("M-DELIV-02")
@pytest.mark.parametrize("seed", [1, 2])
async def test_f1_kill_nine_at_random_loses_doubles_and_reorders_nothing(tmp_path, seed):
    relay = RelayProcess(tmp_path / "data", tmp_path / "log", program=warm_relay())
    ledger = await kills.run(relay, KILLS, seed)
    counts = ledger.counts()
    print(kills.closing_line(ledger, KILLS, seed, 0))
    assert ledger.violations() == []
    assert counts["restarts"] == KILLS
    assert counts["accepted"] > 100
    assert counts["resubmitted"] > 0, "no kill hit an unanswered submit"
    assert counts["one_time_keys"] > 0


@pytest.mark.timeout(180)  # on a busy machine; on a quiet one the first or second kill shows it
async def test_f1_the_loop_sees_a_relay_that_answers_before_the_commit(tmp_path):
    relay = RelayProcess(tmp_path / "data", tmp_path / "log", program=warm_broken_relay("early-accept"))
    ledger = await kills.run_until_seen(relay, 20, seed=2)
    with pytest.raises(CheckFailed, match="accepted and never delivered"):
        ledger.verify()
