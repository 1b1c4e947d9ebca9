"""`tokenim-relay retention …` as installed: on a relay that runs, and on the folder of one that is stopped."""

from pathlib import Path

from relay.services.retention import KEPT
from tests import command
from tests.journeys.test_account_commands import refused, run, told
from tests.relay_process import serving


async def test_an_operator_holds_releases_and_runs(tmp_path: Path) -> None:
    data, alice, bob = tmp_path / "data", tmp_path / "alice", tmp_path / "bob"
    with serving(data) as served:
        await command.done(alice, "register", served.invite or "", "--handle", "alice")
        (invite,) = told("invite", "create", data=data)
        await command.done(bob, "register", invite["link"], "--handle", "bob")
        assert [one["kind"] for one in told("retention", "show", data=data)] == [kept.kind for kept in KEPT]
        (hold,) = told("retention", "hold", "bob", "--reason", "case-7", "--days", "2", data=data)
        assert "malformed_request" in refused(
            "retention", "hold", "bob", "--reason", "two words", "--days", "2", data=data
        )
        # Its owner deletes it: shut out at once, and told that the relay keeps it.
        (deleted,) = await command.done(bob, "account", "delete", "--yes")
        assert deleted == {"type": "deleted", "held": True}
        status, _, said = await command.call(bob, "listen", "--until-caught-up")
        assert (status, "not_allowed" in said) == (command.REFUSED, True)
        assert served.stop()[0] == 0

    last = told("retention", "show", data=data)[-1]
    assert (last["hold"]["account"], last["hold"]["is_deleted"]) == (hold["account"], True)
    plain = run("retention", "show", "--data", str(data)).stdout
    assert "DELETED" in plain
    assert "30 days" in plain
    (removed,) = told("retention", "run", data=data)
    assert set(removed) >= {"envelopes", "blobs", "audit_rows"}
    assert "not_found" in refused("retention", "release", "alice", data=data)
    assert told("retention", "release", hold["account"], data=data)[0]["reason"] == "case-7"
    actions = [row["action"] for row in told("audit", "show", data=data)]
    assert [one for one in actions if one.startswith("retention.")] == [
        *("retention.hold", "retention.hold", "retention.run", "retention.release", "retention.release")
    ]
