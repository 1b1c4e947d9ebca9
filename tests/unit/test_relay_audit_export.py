"""An export of the audit log can be verified where there is no relay, by its own lines and by what the decision document says."""

import base64
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from nacl.signing import VerifyKey

from relay.adapters.sqlite.store import open_sqlite_store
from relay.log_files import export_audit_file, verify_audit_export, verify_audit_file
from relay.services.audit import Action
from relay.services.audit_records import exported_header, read_heads, told_head
from relay.wire.audit_rows import Party, Tip
from relay.wire.errors import MalformedRequest
from tests.audit_logs import KEY, audit_over
from tests.contract.people import NOW_MS, bytes_of

ANNA, BERT = (bytes_of(name, 32) for name in ("anna", "bert"))


@pytest.fixture
async def exported(tmp_path: Path) -> Path:
    """Rows 0 and 1 without details, 2 to 8 with them; anna's id is erased."""
    database, file = tmp_path / "relay.sqlite3", tmp_path / "export"
    async with open_sqlite_store(database, reserve_bytes=0) as store:
        audit = audit_over(store.audit)
        for at_ms in (1, 2, NOW_MS, NOW_MS):
            entry = audit.entry(
                Action.ROLE_GRANT, actor=Party.account(ANNA), subject=Party.account(BERT), detail="admin"
            )
            await store.audit.append(replace(entry, at_ms=at_ms))
        await store.audit.append(
            audit.entry(Action.INVITE_REVOKE, actor=Party.operator(7), outcome="not_found")
        )
        await audit.drop_details(before_ms=NOW_MS)
        await audit.erase(ANNA)
    assert export_audit_file(database, KEY.public, file) == 7
    return file


def lines_of(file: Path) -> list[str]:
    return file.read_text("utf-8").splitlines()


def test_e4_an_export_is_verified_without_a_database(exported: Path) -> None:
    assert exported.stat().st_mode & 0o777 == 0o600
    verdict = verify_audit_export(lines_of(exported))
    assert (verdict.rows, verdict.faults) == (7, ())
    assert list(exported.parent.glob("*.partial")) == []


def changed(file: Path, number: int, **fields: object) -> list[str]:
    lines = lines_of(file)
    lines[number] = json.dumps({**json.loads(lines[number]), **fields})
    return lines


@pytest.mark.parametrize(
    ("number", "fields", "row"),
    [
        (4, {"detail": "owner"}, 3),
        (4, {"time_ms": 5}, 3),
        (4, {"leaf_hash": "A" * 43}, 3),
        (7, {"signature": "A" * 86}, 6),
        (0, {"size": 9}, None),
        (0, {"peaks": []}, None),
    ],
)
def test_a_change_in_an_export_is_named(
    exported: Path, number: int, fields: dict[str, object], row: int | None
) -> None:
    assert [fault.row for fault in verify_audit_export(changed(exported, number, **fields)).faults] == [row]


def test_a_line_left_out_of_an_export_is_named(exported: Path) -> None:
    lines = lines_of(exported)
    assert verify_audit_export(lines[:4] + lines[5:]).faults[0].row == 3


def test_what_is_no_export_is_refused_with_its_line(exported: Path) -> None:
    for lines, words in (
        ([], "line 1"),
        (["{}"], "line 1"),
        (['{"format": "tokenim-audit/9"}'], "line 1"),
        ([*lines_of(exported)[:3], "nonsense"], "line 4 is no row"),
        (changed(exported, 4, actor={"id": "A"}), "line 5 is no row"),
        (changed(exported, 4, signature=5), "line 5 is no row"),
    ):
        with pytest.raises(MalformedRequest, match=words):
            verify_audit_export(lines)


async def test_heads_are_told_and_read_back(exported: Path, tmp_path: Path) -> None:
    database = tmp_path / "relay.sqlite3"
    async with open_sqlite_store(database, reserve_bytes=0) as store:
        line = json.dumps(told_head(await audit_over(store.audit).head()))
    heads = read_heads(f"{line}\n\n{line}\n")
    assert verify_audit_file(database, KEY.public, heads).faults == ()
    (fault, *_) = verify_audit_file(database, bytes_of("x", 32), heads[:1]).faults
    assert "not by this relay's key" in fault.told
    with pytest.raises(MalformedRequest, match="line 2 is no head"):
        read_heads(f"{line}\n[]\n")


def test_a_file_that_is_there_is_not_overwritten(exported: Path, tmp_path: Path) -> None:
    before = exported.read_bytes()
    with pytest.raises(FileExistsError):
        export_audit_file(tmp_path / "relay.sqlite3", KEY.public, exported)
    assert exported.read_bytes() == before


def test_a_file_that_comes_meanwhile_is_not_overwritten(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "meanwhile"

    def header(tip: Tip, relay_public: bytes) -> dict[str, object]:
        file.write_text("of somebody else")
        return exported_header(tip, relay_public)

    monkeypatch.setattr("relay.log_files.exported_header", header)
    with pytest.raises(FileExistsError):
        export_audit_file(tmp_path / "relay.sqlite3", KEY.public, file)
    assert file.read_text() == "of somebody else"
    assert list(tmp_path.glob("*.partial")) == []


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def transcript(label: str, *fields: bytes) -> bytes:
    parts = [f"tokenim/v1 {label}\0".encode(), b"\x01"]
    for field in fields:
        parts += [len(field).to_bytes(4, "big"), field]
    return b"".join(parts)


def party(told: dict) -> bytes:
    kind = bytes((told["kind"],))
    if "hash" in told:
        return kind + raw(told["hash"])
    salted = transcript("audit party", kind, raw(told["salt"]), raw(told["id"]))
    return kind + hashlib.sha256(salted).digest()


def root_of(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    middle = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\x01" + root_of(leaves[:middle]) + root_of(leaves[middle:])).digest()


def test_e4_whoever_reads_the_decision_can_verify_an_export_without_this_code(exported: Path) -> None:
    header, *rows = [json.loads(line) for line in lines_of(exported)]
    leaves: list[bytes] = []
    seen, before = [], ""
    for row in rows:
        leaves.append(raw(row["leaf_hash"]))
        if row["action"] is not None:
            body = transcript(
                "audit row",
                row["time_ms"].to_bytes(8, "big"),
                row["action"].encode(),
                party(row["actor"]),
                party(row["subject"]),
                row["outcome"].encode(),
                row["detail"].encode(),
                raw(before),
            )
            assert hashlib.sha256(b"\0" + body).digest() == leaves[-1]
            seen.append(row["row"])
        if row["signature"] is not None:
            size = len(leaves).to_bytes(8, "big")
            head = transcript("audit head", size, root_of(leaves), row["time_ms"].to_bytes(8, "big"))
            VerifyKey(raw(header["relay_key"])).verify(head, raw(row["signature"]))
        before = row["signature"] or ""
    assert seen == [2, 3, 4, 5, 6]
    assert root_of(leaves) == raw(header["root"])
    assert [raw(rows[number]["actor"]["hash"]) != b"" for number in (2, 3)] == [True, True]
