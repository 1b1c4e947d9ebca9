"""`tokenim-conformance client` as a writer of clients types it: two cases on both of ours; `make conformance` runs all."""

import asyncio
import json
import subprocess
import sys

import pytest

from client.conformance.case import Suite
from client.conformance.client_suite.merkle import consistency_of, inclusion_of, root_of
from client.conformance.client_suite.submits import is_bucket
from client.conformance.runner import run
from crypto.merkle import verify_consistency, verify_inclusion
from tests.interop.node_of_wheel import CLIENT, NODE
from tests.relay_process import environment
from tests.warm.commands import program

ADAPTERS = {
    "python": lambda: program("client.conformance_adapter"),
    "javascript": lambda: (NODE, "--disable-warning=ExperimentalWarning", str(CLIENT / "node" / "main.js")),
}


def kit(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program("client.conformance.cli"), "client", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=170,
        env=environment(),
    )


@pytest.mark.timeout(180)
@pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=ADAPTERS)
def test_our_clients_pass_a_good_case_an_odd_one_and_a_hostile_one(adapter, tmp_path, record_property):
    report = tmp_path / "report.json"
    cases = ["client-talks-both-ways", "client-unknown-answer-fields", "client-bundle-of-another"]
    only = [word for case in cases for word in ("--case", case)]
    done = kit(*only, "--json", str(report), "--", *adapter())
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.splitlines()[-1] == "3 passed, 0 failed, 0 not claimed"
    told = json.loads(report.read_text())["cases"]
    assert [case["outcome"] for case in told] == ["passed"] * 3
    for rule in sorted({rule for case in told for rule in case["proves"]}):
        record_property("proves", rule)


def test_a_client_that_ends_or_is_not_there_fails_its_case_with_a_reason():
    ended = kit("--case", "client-registers", "--", sys.executable, "-c", "raise SystemExit('no such luck')")
    assert ended.returncode == 1
    assert "ann ended before it took register: no such luck" in ended.stdout
    missing = kit("--case", "client-registers", "--", "/nowhere/client")
    assert (missing.returncode, missing.stdout.splitlines()[-1]) == (1, "0 passed, 1 failed, 0 not claimed")
    assert "/nowhere/client cannot be started" in missing.stdout


def test_a_client_that_says_no_fails_its_case_and_the_run_goes_on():
    no = """import json, sys
for line in sys.stdin:
    print(json.dumps({"id": json.loads(line)["id"], "error": "no", "why": "I will not"}), flush=True)"""
    done = kit("--case", "client-registers", "--case", "client-last-resort", "--", sys.executable, "-c", no)
    assert (done.returncode, done.stderr) == (1, "")
    assert "ann refused register: no: I will not" in done.stdout
    assert done.stdout.splitlines()[-1] == "0 passed, 2 failed, 0 not claimed"


def test_a_client_that_says_nothing_fails_its_case_once_the_patience_is_over():
    silent = "import sys\nfor line in sys.stdin: pass"
    done = kit("--patience", "1", "--case", "client-registers", "--", sys.executable, "-c", silent)
    assert "ann did not answer register within 2 s" in done.stdout


@pytest.mark.parametrize(
    ("case", "asked"),
    [
        ("client-bundle-of-another", "bundle"),
        ("client-manifest-of-another", "manifests"),
        ("client-manifest-signature", "manifests"),
        ("client-handle-of-another", "handle"),
        ("client-log-forked", "consistency proof"),
        ("client-log-rolled-back", "handle"),
        ("client-consistency-wrong", "consistency proof"),
    ],
)
def test_a_client_that_says_no_before_it_is_lied_to_fails_the_hostile_case(case, asked):
    done = kit("--case", case, "--", *program("tests.conformance.refusing_adapter"))
    assert done.stdout.splitlines()[-1] == "0 passed, 1 failed, 0 not claimed", done.stdout
    assert f"the client asked for no {asked}: the case tried nothing (ann refused send" in done.stdout


@pytest.mark.timeout(180)
@pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=ADAPTERS)
def test_our_clients_give_out_no_file_that_the_relay_changed(adapter):
    done = kit("--level", "media", "--case", "client-file-changed", "--", *adapter())
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "1 passed, 0 failed, 0 not claimed"), (
        done.stdout
    )


@pytest.mark.timeout(180)
def test_our_client_in_javascript_takes_a_member_out_of_a_group():
    done = kit("--level", "groups", "--case", "client-group-removal", "--", *ADAPTERS["javascript"]())
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "1 passed, 0 failed, 0 not claimed"), (
        done.stdout
    )


def test_a_level_beyond_core_is_tried_only_if_it_is_claimed():
    done = kit("--case", "client-file", "--", "/nowhere/client")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "not claimed  client-file",
        "             it needs --level media",
        "0 passed, 0 failed, 1 not claimed",
    ]


def test_a_command_is_needed_and_cases_have_to_be_there():
    for arguments, told in (((), "COMMAND is needed"), (("--case", "nonsense"), "no case nonsense")):
        done = kit(*arguments)
        assert done.returncode == 2
        assert told in done.stderr
    assert len(kit("--list").stdout.splitlines()) > 40


def test_the_scripted_relay_proves_what_our_own_code_verifies():
    leaves = [bytes([number]) * number for number in range(21)]
    for size in range(1, len(leaves)):
        root = root_of(leaves[:size])
        for index in range(size):
            verify_inclusion(leaves[index], index, size, inclusion_of(index, leaves[:size]), root)
        for first in range(1, size):
            verify_consistency(
                first, root_of(leaves[:first]), size, root, consistency_of(first, leaves[:size])
            )


def test_the_scripted_relay_knows_the_163_buckets():
    assert sum(is_bucket(size) for size in range(262_145)) == 163
    assert [size for size in range(1_000, 1_200) if is_bucket(size)] == [1_024, 1_088, 1_152]


async def test_so_many_cases_run_side_by_side_and_are_told_in_their_order():
    began, meet = [], asyncio.Event()
    suite: Suite[None] = Suite()

    @suite.case("one-waits-for-two")
    async def one(_: None) -> None:
        """Ends when the second is there."""
        began.append("one")
        await meet.wait()

    @suite.case("two")
    async def two(_: None) -> None:
        """Lets the first one go on."""
        began.append("two")
        meet.set()
        await asyncio.sleep(0)
        assert "three" not in began

    @suite.case("three")
    async def three(_: None) -> None:
        """Has no place until one has ended."""
        began.append("three")

    told = [result async for result in run(suite.cases.values(), None, {}, jobs=2)]
    assert [(result.case, result.outcome) for result in told] == [
        ("one-waits-for-two", "passed"),
        ("two", "passed"),
        ("three", "passed"),
    ]
    assert began == ["one", "two", "three"]
