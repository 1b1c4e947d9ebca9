"""What `doctor` says of the relay's own certificate: its files, its time, its names."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from relay.adapters.doctor.certificate import check_tls
from tests.certificates import BEGIN, END, Authority

NOW = datetime(2026, 11, 27, tzinfo=UTC)
AUTHORITY = Authority()


def at(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000)


@pytest.mark.parametrize(
    ("moment", "state", "told"),
    [
        (NOW, "ok", "good until 2100-01-01, for localhost, 127.0.0.1"),
        (END - timedelta(days=13), "warning", "good until 2100-01-01"),
        (END, "failed", "expired on 2100-01-01"),
        (BEGIN - timedelta(days=1), "failed", "good from 2020-01-01 on"),
    ],
)
def test_the_time_of_the_certificate_is_looked_at(
    tmp_path: Path, moment: datetime, state: str, told: str
) -> None:
    found = check_tls(*AUTHORITY.pair().write(tmp_path), None, at(moment))
    assert (found.state, found.found) == (state, told)
    assert (found.mend is None) == (state == "ok")


@pytest.mark.parametrize(
    ("origin", "state"),
    [
        ("https://localhost", "ok"),
        ("https://LOCALHOST:8443", "ok"),
        ("https://127.0.0.1:8443", "ok"),
        ("https://chat.example", "failed"),
        ("https://127.0.0.2", "failed"),
    ],
)
def test_clients_have_to_find_their_host_in_it(tmp_path: Path, origin: str, state: str) -> None:
    found = check_tls(*AUTHORITY.pair().write(tmp_path), origin, at(NOW))
    assert found.state == state
    assert state == "ok" or "localhost, 127.0.0.1, and clients go to" in found.found


@pytest.mark.parametrize(
    ("host", "fits"),
    [("a.chat.example", True), ("chat.example", False), ("b.a.chat.example", False), ("chat", False)],
)
def test_a_wildcard_stands_for_one_label(tmp_path: Path, host: str, fits: bool) -> None:
    pair = AUTHORITY.pair(names=["*.chat.example"])
    found = check_tls(*pair.write(tmp_path), f"https://{host}", at(NOW))
    assert (found.state == "ok") is fits


def test_files_that_are_no_pair_are_told(tmp_path: Path) -> None:
    certificate, _ = AUTHORITY.pair().write(tmp_path)
    (tmp_path / "other").mkdir()
    _, other = AUTHORITY.pair().write(tmp_path / "other")
    _, loose = AUTHORITY.pair().write(tmp_path / "other", mode=0o644)
    for key, told in ((other, "others can read"), (tmp_path / "none.pem", "No such file")):
        found = check_tls(certificate, key, None, at(NOW))
        assert (found.state, told in found.found) == ("failed", True), found
    loose.chmod(0o600)
    assert "does not belong" in check_tls(certificate, loose, None, at(NOW)).found


def test_files_in_the_home_folder_are_found_as_the_relay_finds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    pair = [Path("~") / path.name for path in AUTHORITY.pair().write(tmp_path)]
    assert check_tls(pair[0], pair[1], None, at(NOW)).state == "ok"


def test_a_relay_without_its_own_tls_is_in_order() -> None:
    assert check_tls(None, None, "https://chat.example", at(NOW)).state == "ok"
