"""E4 as an operator meets it: what was done is shown, verified and exported; what was changed by hand is named."""

import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.relay_process import run, serving


def rows_of(*arguments: str) -> list[dict]:
    finished = run("audit", "show", *arguments, "--json")
    assert finished.returncode == 0, finished.stderr
    return [json.loads(line) for line in finished.stdout.splitlines()]


def tamper(data: Path, statement: str) -> None:
    with closing(sqlite3.connect(data / "relay.sqlite3")) as database, database:
        database.execute(statement)


def test_e4_what_operators_do_is_recorded_and_a_change_by_hand_is_named(tmp_path: Path):
    data, export = tmp_path / "data", tmp_path / "export"
    where = ("--data", str(data))
    with serving(data) as served:
        link = run("invite", "create", *where, "--role", "auditor").stdout.strip()
        assert run("invite", "create", *where, "--role", "emperor").returncode == 1
        head = run("audit", "head", *where, "--json").stdout
        assert run("audit", "verify", *where).returncode == 0
        exported = run("audit", "export", *where, str(export))
        assert (exported.returncode, exported.stdout) == (0, f"3 rows in {export}\n")
        assert served.stop()[0] == 0
    rows = rows_of(*where)
    operator = f"operator:{os.getuid()}"
    assert [(row["row"], row["actor"], row["action"], row["detail"], row["outcome"]) for row in rows] == [
        (0, "relay", "invite.create", "owner", "done"),
        (1, operator, "invite.create", "auditor", "done"),
        (2, operator, "invite.create", "", "malformed_request"),
    ]
    assert [row["row"] for row in rows_of(*where, "--limit", "1")] == [2]
    assert link not in json.dumps(rows)
    assert "emperor" not in export.read_text("utf-8")
    assert run("audit", "verify", "--exported", str(export)).returncode == 0

    (tmp_path / "copy").write_text(head, "utf-8")
    heads = ("--heads", str(tmp_path / "copy"))
    fits = run("audit", "verify", *where, *heads, "--json")
    assert (fits.returncode, json.loads(fits.stdout)["rows"]) == (0, 3)
    tamper(data, "UPDATE audit_rows SET detail = 'member' WHERE row_index = 1")
    found = run("audit", "verify", *where, "--json")
    fault, over_all = (json.loads(line) for line in found.stdout.splitlines())
    assert (found.returncode, fault["row"], over_all["faults"]) == (1, 1, 1)
    assert run("audit", "verify", *where).stdout.startswith("row 1: was changed")


def test_e4_a_log_that_is_gone_is_found_by_the_second_place_and_by_the_running_relay(tmp_path: Path):
    data, kept, copy = tmp_path / "data", tmp_path / "heads", tmp_path / "copy"
    where = ("--data", str(data))
    elsewhere = {"TOKENIM_RELAY_AUDIT__HEADS_FILE": str(kept)}
    with serving(data, **elsewhere) as served:
        copy.write_text(run("audit", "head", *where, "--json").stdout, "utf-8")
        assert served.stop()[0] == 0
    statements = ("DELETE FROM audit_rows", "UPDATE audit_log SET size = 0, peaks = x'', signature = x''")
    for statement in statements:
        tamper(data, statement)
    assert run("audit", "verify", *where).returncode == 0
    gone = run("audit", "verify", *where, "--heads", str(copy))
    assert gone.returncode == 1
    assert gone.stdout.startswith("row 0: and all after it are gone: a head was signed over 1 row")
    with serving(data, **elsewhere) as served:
        for line in served.process.stderr:
            told = json.loads(line)
            if told["event"] == "audit_damaged":
                break
        assert (told["level"], told["row"]) == ("error", 0)
        served.stop()
    assert len(kept.read_text("utf-8").splitlines()) == 1  # from before; nothing is signed off any more


def test_wrong_usage_is_told_in_one_line(tmp_path: Path):
    (tmp_path / "heads").write_text("no head\n", "utf-8")
    for arguments, told in (
        (("verify", "--data", str(tmp_path)), "start the relay first"),
        (("verify", "--heads", str(tmp_path / "heads")), "line 1 is no head"),
        (("verify", "--exported", str(tmp_path / "heads")), "line 1: this is no export"),
        (("show", "--since", "yesterday"), "give a time like"),
    ):
        finished = run("audit", *arguments)
        assert finished.returncode == 2
        (line,) = finished.stderr.splitlines()
        assert told in line


def test_e4_a_backup_and_a_refused_reload_are_recorded(tmp_path: Path):
    data, settings = tmp_path / "data", tmp_path / "relay.toml"
    where = ("--data", str(data))
    settings.write_text("")
    with serving(data, "--config", str(settings)) as served:
        assert run("backup", *where, str(tmp_path / "running.tar")).returncode == 0
        settings.write_text("nonsense = 1\n")
        served.process.send_signal(signal.SIGHUP)
        assert json.loads(served.process.stderr.readline())["event"] == "started"
        assert json.loads(served.process.stderr.readline())["event"] == "settings_refused"
        assert served.stop()[0] == 0
    assert run("backup", *where, str(tmp_path / "stopped.tar")).returncode == 0
    operator = f"operator:{os.getuid()}"
    assert [(row["actor"], row["action"], row["detail"], row["outcome"]) for row in rows_of(*where)[1:]] == [
        (operator, "backup", str((tmp_path / "running.tar").stat().st_size), "done"),
        ("relay", "config.reload", "", "malformed_request"),
        (operator, "backup", str((tmp_path / "stopped.tar").stat().st_size), "done"),
    ]
    assert run("audit", "verify", *where).returncode == 0


def test_an_export_tells_scripts_what_it_wrote(tmp_path: Path):
    data, export = tmp_path / "data", tmp_path / "export"
    with serving(data):
        pass
    exported = run("audit", "export", "--data", str(data), str(export), "--json")
    assert json.loads(exported.stdout) == {
        "file": str(export),
        "rows": len(export.read_text("utf-8").splitlines()) - 1,
    }
