"""Settings of a relay of several nodes: what they must be together, and what commands on files say to them."""

from pathlib import Path

import pytest

from relay.adapters.data_folder import StartRefused, open_data_folder
from relay.adapters.system_clock import SystemClock
from relay.config import ConfigInvalid, Settings, load_settings
from relay.states import open_state
from relay.upkeep import back_up, examine, put_back

URL = "postgresql://tokenim@127.0.0.1:1/tokenim"
CLUSTER = {"origin": "https://chat.example", "postgres": {"url": URL}}


def settings(**given: object) -> Settings:
    return load_settings(file=None, environment={}, command_line=given)


@pytest.mark.parametrize(
    ("given", "setting", "told"),
    [
        ({"postgres": {"url": URL}}, "origin", "one origin"),
        ({"postgres": {"url": "postgresql://tokenim:pass@db/tokenim"}}, "postgres.url", "password_file"),
        ({"postgres": {"url": "mysql://db/tokenim"}}, "postgres.url", "postgresql://USER@HOST"),
        ({"nats": {"servers": ["nats://127.0.0.1"]}}, "nats.servers", "stands without postgres.url"),
        ({**CLUSTER, "nats": {"servers": ["nats://me:secret@127.0.0.1"]}}, "nats.servers", "nats.user"),
        ({**CLUSTER, "nats": {"subject": "a.*"}}, "nats.subject", "pattern"),
        ({"s3": {"endpoint": "https://s3.example"}}, "s3.bucket", "is missing"),
        ({"s3": {"bucket": "blobs", "access_key": "x"}}, "s3.access_key", "belong together"),
        ({"s3": {"bucket": "blobs", "endpoint": "http://s3.example"}}, "s3.endpoint", "write https"),
        ({"s3": {"bucket": "No Bucket"}}, "s3.bucket", "pattern"),
        ({"work": ["api"]}, "work", "no other process"),
        ({**CLUSTER, "work": []}, "work", "at least 1"),
        ({**CLUSTER, "work": ["cooking"]}, "work", "housekeeping"),
        ({**CLUSTER, "postgres": {"url": URL, "password_file": "a\nb"}}, "password_file", "names a file"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(given: dict[str, object], setting: str, told: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        settings(**given)
    assert setting in str(refused.value)
    assert told in str(refused.value)
    assert "secret@" not in str(refused.value)


def test_nodes_may_share_the_work() -> None:
    assert settings(**CLUSTER, work="api").work == ("api",)
    assert settings(**CLUSTER).work == ("api", "push", "housekeeping")
    assert settings(**CLUSTER).is_cluster
    assert not settings().is_cluster


def test_commands_on_files_say_that_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    shared = settings(**CLUSTER, data=tmp_path / "data")

    def told(*_: object) -> None:
        pytest.fail("nothing is to be done")

    for refused in (
        lambda: back_up(shared, tmp_path / "x", config=None, told=told),
        lambda: put_back(shared, tmp_path / "x", told=told),
    ):
        with pytest.raises(StartRefused, match=r"^postgres\.url: ") as error:
            refused()
        assert error.value.exit_code == 2
    assert list((tmp_path / "data").iterdir()) == []


def test_the_doctor_says_that_the_database_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    shared = settings(**CLUSTER, data=tmp_path / "data")
    found = {finding.check: finding for finding in examine(shared)}
    assert found["database"].state == "failed"
    assert "PostgreSQL cannot be used" in found["database"].found
    assert "roles" not in found


async def test_a_relay_on_sqlite_does_not_begin_anew_on_an_empty_postgresql(tmp_path: Path) -> None:
    """Its accounts would seem gone, under the same keys."""
    with open_data_folder(tmp_path / "data") as folder:
        folder.database.write_bytes(b"accounts")
        with pytest.raises(StartRefused, match="a relay on SQLite") as refused:
            await open_state(folder, settings(**CLUSTER, data=folder.path), SystemClock()).__aenter__()
    assert refused.value.exit_code == 2
