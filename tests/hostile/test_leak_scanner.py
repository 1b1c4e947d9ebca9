"""The scanner that the promise of a blind relay rests on finds what it is there to find."""

import base64
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import relay_files
from tests.hostile.leak_scanner import LeakScanner
from tests.hostile.planting import NothingToPlantIn, plant_everywhere
from tests.hostile.relay_files import RelayFiles, copy_relay_files, find_sender, find_text

LINE = b'the quick brown "fox" jumps over\xc2\xa0it'
ACCOUNT = bytes(range(200, 232))
SCANNER = LeakScanner({"line": LINE, "account": ACCOUNT})

ENCODINGS = {
    "raw": lambda data: data,
    "hex": lambda data: data.hex().encode(),
    "HEX": lambda data: data.hex().upper().encode(),
    "BASE32": base64.b32encode,
    "base32": lambda data: base64.b32encode(data).lower(),
    "base64": base64.b64encode,
    "base64url": base64.urlsafe_b64encode,
}


@pytest.mark.parametrize("needle", [LINE, ACCOUNT], ids=["line", "account"])
@pytest.mark.parametrize("encoding", ENCODINGS)
@given(before=st.binary(max_size=40), after=st.binary(max_size=20), lead=st.binary(max_size=17))
def test_a_needle_is_found_in_every_encoding_at_every_alignment(needle, encoding, before, after, lead):
    planted = before + ENCODINGS[encoding](lead + needle + after) + after
    hits = SCANNER.scan(planted, "x")
    name = "line" if needle == LINE else "account"
    assert name in {hit.needle for hit in hits}


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@given(lead=st.binary(max_size=9))
def test_utf_16_and_json_escapes_are_seen(codec, lead):
    assert codec in {hit.encoding for hit in SCANNER.scan(lead + LINE.decode().encode(codec), "x")}
    assert "account" in {hit.needle for hit in SCANNER.scan(lead + ACCOUNT.hex().encode(codec), "x")}
    escaped = b'{"text": "the quick brown \\"fox\\" jumps over\\u00a0it"}'
    assert [hit.encoding for hit in SCANNER.scan(lead + escaped, "x")] == ["json"]


@given(st.binary(max_size=2000))
def test_chance_is_not_a_hit(data):
    assert SCANNER.scan(data, "x") == []


@given(cut=st.integers(1, len(LINE) - 1))
def test_a_part_of_a_needle_is_not_a_hit(cut):
    assert SCANNER.scan(LINE[:cut] + b"\x00" + LINE[cut:], "x") == []


def test_a_needle_that_chance_would_find_is_refused():
    with pytest.raises(ValueError, match="at least 16"):
        LeakScanner({"name": b"alice"})


def test_a_needle_across_two_pieces_of_a_file_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.hostile.leak_scanner._CHUNK", 64)
    for lead in range(130):
        (tmp_path / "file").write_bytes(bytes(lead) + LINE + bytes(100))
        assert {hit.offset for hit in SCANNER.scan_file(tmp_path / "file")} == {lead}


@pytest.fixture
def data(tmp_path):
    """A data folder with a database in WAL mode that is still open, as a running relay has it."""
    folder = tmp_path / "data"
    (folder / "blobs").mkdir(parents=True)
    (folder / "blobs" / "ab").write_bytes(bytes(1000))
    (folder / "relay.log").write_bytes(b"started\n")
    with closing(sqlite3.connect(folder / "relay.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE accounts (id BLOB PRIMARY KEY, body BLOB) WITHOUT ROWID")
        connection.execute("CREATE TABLE envelopes (sequence INTEGER PRIMARY KEY, ciphertext BLOB)")
        for number in range(50):  # with overflow pages, on both sides
            connection.execute(
                "INSERT INTO accounts VALUES (?, ?)", (bytes((number,)) + ACCOUNT, (ACCOUNT + bytes(900)) * 9)
            )
            connection.execute("INSERT INTO envelopes VALUES (?, ?)", (number, bytes((number,)) * 9000))
        yield folder, connection


def test_c2_an_id_in_the_identity_tables_alone_is_no_leak(data, tmp_path):
    folder, connection = data
    for checkpoint in (False, True):
        if checkpoint:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        files = copy_relay_files(folder, tmp_path / str(checkpoint))
        assert find_sender(files, SCANNER, {"accounts"}) == []
        assert find_sender(files, SCANNER, ()) != []
        assert find_text(files, LeakScanner({"line": LINE})) == []


@pytest.mark.parametrize("needle", [LINE, ACCOUNT], ids=["line", "account"])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("deleted", [False, True])
def test_a_leak_planted_in_a_row_is_found_in_rows_log_and_file(data, tmp_path, needle, encoding, deleted):
    folder, connection = data
    connection.execute(
        "UPDATE envelopes SET ciphertext = ? WHERE sequence = 7", (bytes(77) + ENCODINGS[encoding](needle),)
    )
    if deleted:
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("DELETE FROM envelopes WHERE sequence = 7")
    files = copy_relay_files(folder, tmp_path)
    hits = find_sender(files, SCANNER, {"accounts"})
    assert {hit.where.split()[0] for hit in hits} == (
        {"relay.db-wal"} if deleted else {"envelopes", "relay.db-wal"}
    )
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    files = copy_relay_files(folder, tmp_path / "after")
    assert "relay.db" in {hit.where.split()[0] for hit in find_sender(files, SCANNER, {"accounts"})}


@pytest.mark.parametrize("name", ["blobs/ab", "relay.log", "new file"])
def test_a_leak_planted_in_any_other_file_is_found(data, tmp_path, name):
    files = copy_relay_files(data[0], tmp_path)
    with (files.folder / name).open("ab") as file:
        file.write(base64.b64encode(b"x" + LINE + ACCOUNT))
    assert {hit.needle for hit in find_sender(files, SCANNER, {"accounts"})} == {"line", "account"}


def test_the_pages_of_all_tables_and_the_free_ones_are_all_pages(data):
    folder, connection = data
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    files = RelayFiles(folder)
    database = files.databases()[0]
    image = database.read_bytes()
    roots = [row[0] for row in connection.execute("SELECT rootpage FROM sqlite_schema WHERE rootpage > 0")]
    trees = [relay_files._tree(image, root) for root in [1, *roots]]
    count = connection.execute("PRAGMA page_count").fetchone()[0]
    assert sorted(number for tree in trees for number in tree) == list(range(1, count + 1))


def test_a_database_that_never_holds_still_is_said_so(data, tmp_path, monkeypatch):
    monkeypatch.setattr(relay_files, "_is_whole", lambda database: False)
    with pytest.raises(relay_files.CopyFailed, match="changed"):
        copy_relay_files(data[0], tmp_path)


def test_what_is_planted_is_found_in_every_place(data, tmp_path):
    files = copy_relay_files(data[0], tmp_path)
    name = b"the-sender-of-this-test"
    places = plant_everywhere(files, LINE, name, {"accounts"})
    assert places == {"envelopes", "relay.db-wal", "ab", "relay.log", "new-file"}
    text, names = find_text(files, LeakScanner({"line": LINE})), LeakScanner({"name": name})
    assert places <= {hit.where.split()[0] for hit in text}
    assert places <= {hit.where.split()[0] for hit in find_sender(files, names, {"accounts"})}


def test_an_empty_relay_is_no_place_to_plant_in(data, tmp_path):
    data[1].execute("DELETE FROM envelopes")
    with pytest.raises(NothingToPlantIn):
        plant_everywhere(copy_relay_files(data[0], tmp_path), LINE, b"the-sender-of-this-test", {"accounts"})
