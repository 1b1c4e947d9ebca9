"""`tokenim-conformance relay` as who runs a relay types it: our own does all that the document demands."""

import functools
import json
import re
import subprocess

import aiohttp
import click.testing
import pytest

from client.conformance import cli
from client.conformance.cases import SUITE
from tests.conformance.mutate import CLAIMS_ALL, ROOT, WEB_ORIGIN
from tests.relay_process import run, serving
from tests.warm.commands import program


def kit(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program("client.conformance.cli"), "relay", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=170,
    )


def settings_for_the_run() -> dict[str, str]:
    """What docs/clients.md tells the operator of a relay on another machine to raise."""
    lines = re.findall(
        r"^(TOKENIM_RELAY_RATES\w+)=(\d+)$", (ROOT / "docs/clients.md").read_text(), re.MULTILINE
    )
    return dict(lines)


@pytest.fixture
def far_away(monkeypatch):
    """The kit in this process, for a relay that believes 127.0.0.1 as a proxy: an address that rates count."""
    kept = functools.partial(aiohttp.ClientSession, headers={"X-Forwarded-For": "203.0.113.7"})
    monkeypatch.setattr(aiohttp, "ClientSession", kept)

    def kit_from_there(*arguments: str) -> click.testing.Result:
        return click.testing.CliRunner().invoke(cli.main, ["relay", *arguments])

    return kit_from_there


BELIEVES = {"TOKENIM_RELAY_PROXY__TRUSTED": "127.0.0.1"}


@pytest.mark.timeout(180)
@pytest.mark.filterwarnings(
    "ignore:Sending a large body:ResourceWarning"
)  # a case does, in this process here
def test_our_relay_passes_every_case_of_every_level(tmp_path, record_property, far_away):
    """Of an address that is rated, with what docs/clients.md says for that."""
    raised = settings_for_the_run()
    assert len(raised) == 4
    with serving(
        tmp_path / "relay", "--admin-listen", "127.0.0.1:0", **CLAIMS_ALL, **BELIEVES, **raised
    ) as relay:
        links = [
            run(
                "invite", "create", "--data", str(tmp_path / "relay"), "--uses", "500", "--role", role
            ).stdout.strip()
            for role in ("member", "admin")
        ]
        report = tmp_path / "report.json"
        done = far_away(
            *(relay.url, "--invite", links[0], "--admin", relay.admin_url, "--admin-invite", links[1]),
            *("--web-origin", WEB_ORIGIN, "--json", str(report)),
        )
        alone = kit(
            relay.url,
            "--invite",
            links[0],
            "--level",
            "media",
            "--case",
            "blob-ranges",
            "--case",
            "auth-signed",
        )

    assert (done.exit_code, done.stderr) == (0, ""), done.stdout
    cases = json.loads(report.read_text())["cases"]
    assert done.stdout.splitlines()[-1] == f"{len(cases) - 1} passed, 0 failed, 1 not claimed"
    assert len(cases) > 80
    assert [one["id"] for one in cases if one["outcome"] != "passed"] == ["delivery-signed-submits"]
    passed = [case for case in cases if case["outcome"] == "passed"]
    for rule in sorted({rule for case in passed for rule in case["proves"]}):
        record_property("proves", rule)
    assert alone.stdout.splitlines()[-1] == "1 passed, 0 failed, 1 not claimed"
    assert alone.returncode == 0


def test_a_relay_that_lets_no_run_end_is_told_in_one_line(tmp_path, far_away):
    with serving(tmp_path / "relay", **BELIEVES) as relay:
        links = {
            uses: run("invite", "create", "--data", str(tmp_path / "relay"), "--uses", uses).stdout.strip()
            for uses in ("500", "2")
        }
        quick = ("prekeys-", "manifest-", "group-", "transparency-")
        only = [word for name in SUITE.cases if name.startswith(quick) for word in ("--case", name)]
        rated = far_away(relay.url, "--invite", links["500"], *only)
        used_up = kit(relay.url, "--invite", links["2"], *only)
    for code, errors, told in (
        (rated.exit_code, rated.stderr, "POST /v1/accounts: rate_limited: raise rates.registration.burst, "),
        (used_up.returncode, used_up.stderr, "POST /v1/accounts: invite_invalid: give an invite with uses"),
    ):
        assert code == 2
        assert errors.startswith(f"tokenim-conformance: {told}"), errors
        assert len(errors.splitlines()) == 1
    names = {
        name.removeprefix("TOKENIM_RELAY_").replace("__", ".").lower() for name in settings_for_the_run()
    }
    assert {name for name in names if name in rated.stderr} == names
    assert "failed" not in rated.stdout


@pytest.mark.timeout(120)
def test_a_relay_without_anonymous_submits_passes_every_case_with_an_envelope_in_it(tmp_path):
    kinds = ("delivery-", "envelopes-", "frames-", "guests-", "mailbox-")
    with_envelopes = [name for name in SUITE.cases if name.startswith(kinds)]
    with serving(
        tmp_path / "relay",
        TOKENIM_RELAY_ANONYMOUS_SUBMIT="false",
        TOKENIM_RELAY_LIMITS__PUBLIC_WORK_BITS="0",
    ) as relay:
        made = run("invite", "create", "--data", str(tmp_path / "relay"), "--uses", "500")
        only = [word for name in with_envelopes for word in ("--case", name)]
        done = kit(relay.url, "--invite", made.stdout.strip(), *only)
    # The work for a public token, of which this relay asks for none, is all that is not claimed: by frame and over HTTP.
    assert done.stdout.splitlines()[-1] == f"{len(with_envelopes) - 2} passed, 0 failed, 2 not claimed", (
        done.stdout
    )


def test_of_a_relay_that_wakes_nobody_push_is_not_claimed_and_why_is_told(tmp_path):
    report = tmp_path / "report.json"
    with serving(tmp_path / "relay") as relay:
        done = kit(relay.url, "--invite", relay.invite, "--level", "push", "--json", str(report))
    assert (done.returncode, done.stderr) == (0, "")
    *told, last = done.stdout.splitlines()
    push = [name for name, case in SUITE.cases.items() if case.level == "push"]
    lines = [
        (f"not claimed  {len(SUITE.cases) - len(push)} cases", "--level chose others"),
        (f"not claimed  {', '.join(push)}", "its document offers no kinds of wakeups"),
    ]
    for title, why in lines:
        assert told[told.index(title) + 1].strip().startswith(why)
    assert len(told) == 2 * len(lines)
    assert last == f"0 passed, 0 failed, {len(SUITE.cases)} not claimed"
    cases = json.loads(report.read_text())["cases"]
    assert [case["id"] for case in cases if not case["why"]] == []


def test_what_cannot_be_tried_is_told_in_one_line():
    link = "http://127.0.0.1:9/invite#v1." + "A" * 64
    for arguments, told in (
        (("http://127.0.0.1:9", "--invite", link), "the relay at http://127.0.0.1:9 is not reached"),
        (
            ("http://127.0.0.1:8", "--invite", link),
            "the invite is of http://127.0.0.1:9, not of http://127.0.0.1:8",
        ),
        (("http://127.0.0.1:9", "--invite", "hello"), "an invite link is ORIGIN/invite#v1.…"),
        (("http://127.0.0.1:9", "--invite", link, "--case", "nonsense"), "there is no case nonsense"),
        ((), "URL and --invite are needed"),
    ):
        done = kit(*arguments)
        assert done.returncode == 2, done.stdout
        assert done.stderr.startswith(f"tokenim-conformance: {told}"), done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_the_list_says_of_each_case_what_it_tries():
    done = kit("--list")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert len(lines) > 80
    assert {line.split()[0] for line in lines} == {"core", "groups", "media", "push", "operator"}


def test_what_a_case_proves_is_an_id_of_the_document():
    ids = set(re.findall(r"\[(M-[A-Z]+-\d+)\]", (ROOT / "docs/protocol.md").read_text()))
    assert {proved for case in SUITE.cases.values() for proved in case.proves} <= ids
