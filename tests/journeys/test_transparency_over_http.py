"""The transparency log as a client meets it over real sockets, and as an operator does on the command line."""

import json
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import aiohttp
import pytest

from crypto.merkle import verify_consistency, verify_inclusion
from crypto.transparency import LeafType, SignedHead, leaf, verify_head
from relay.adapters.data_folder import open_data_folder
from relay.adapters.sqlite.store import open_sqlite_store
from relay.wire.links import decode_bytes, encode_bytes, parse_invite
from relay.wire.log_leaves import handle_subject
from tests.contract.people import NOW_MS, new_account
from tests.raw_device import RawDevice, send, told
from tests.relay_process import run, serving
from tests.running_relay import World, open_world


@pytest.fixture(params=["memory", "sqlite"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with open_world(store=request.param) as opened:
        yield opened


def head_of(encoded: str, world: World) -> SignedHead:
    """The head in an answer, once it is verified under the key that the relay's invites pin."""
    head = SignedHead.parse(decode_bytes(encoded))
    verify_head(head, world.relay.services.key.public)
    return head


def verify_included(entry: bytes, proof: dict, world: World) -> SignedHead:
    head = head_of(proof["head"], world)
    verify_inclusion(entry, proof["index"], head.size, list(map(decode_bytes, proof["hashes"])), head.root)
    return head


async def consistent(world: World, old: SignedHead, new: SignedHead) -> None:
    answered = await send(
        world.session, "GET", f"{world.relay.url}/v1/transparency/consistency?from={old.size}&to={new.size}"
    )
    proof = list(map(decode_bytes, answered.json["hashes"]))
    verify_consistency(old.size, old.root, new.size, new.root, proof)


async def newest(world: World) -> SignedHead:
    answered = await send(world.session, "GET", world.relay.url + "/v1/transparency/head")
    assert answered.status == 200
    return head_of(answered.json["head"], world)


async def test_every_manifest_answer_proves_that_the_newest_one_is_logged(world: World) -> None:
    empty = await newest(world)
    assert empty.size == 0
    first = await world.member()
    others = [await world.member() for _ in range(5)]
    second = world.device(of=first)
    both = first.manifest(2, first.made[-1].body, [first.listed(), second.listed()], signer=first)
    await first.call("POST", "/v1/accounts/self/manifests", {"manifest": told(both)})
    heads = [empty]
    for device, version in [(each, 1) for each in others] + [(first, 2)]:
        answered = await device.call("GET", f"/v1/accounts/{device.account}/manifests")
        body = device.made[-1].body if version == 1 else both.body
        entry = leaf(LeafType.MANIFEST, device.account_id, version, sha256(body).digest())
        heads.append(verify_included(entry, answered.json["inclusion"], world))
    assert {head.size for head in heads} == {0, 7}
    for head in heads:
        await consistent(world, head, heads[-1])


async def test_a_handle_answer_proves_whom_it_names(world: World) -> None:
    anna, bert = await world.member(handle="anna"), await world.member()
    await anna.call("DELETE", "/v1/handle")
    await anna.call("PUT", "/v1/handle", {"handle": "anna", "public_token": encode_bytes(os.urandom(16))})
    found = (await bert.call("GET", "/v1/handles/anna")).json
    assert found["version"] == 3
    at = handle_subject(decode_bytes(found["salt"]), "anna")
    entry = leaf(LeafType.HANDLE, at, 3, sha256(anna.account_id).digest())
    verify_included(entry, found["inclusion"], world)


@pytest.mark.parametrize(
    ("query", "status"),
    [("from=0&to=0", 200), ("from=1&to=1", 200), ("", 200), ("from=1&to=2", 400), ("from=1&to=0", 400),
     ("from=x&to=1", 400), ("from=-1&to=1", 400), (f"from=0&to={2**64}", 400)],
)  # fmt: skip
async def test_a_proof_between_sizes_that_never_were_is_refused(
    world: World, query: str, status: int
) -> None:
    await world.member()
    answered = await send(world.session, "GET", f"{world.relay.url}/v1/transparency/consistency?{query}")
    assert answered.status == status
    assert status == 200 or answered.code == "malformed_request"


async def test_an_operator_keeps_a_head_and_sees_later_that_the_log_only_grew(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path))
    with serving(tmp_path) as served:
        async with aiohttp.ClientSession() as session:
            device = RawDevice(served.url, session, clock=lambda: 0)
            assert (await device.register(served.invite, handle="owner")).status == 201
        printed = json.loads(run("transparency", "head", *data, "--json").stdout)
        head = SignedHead.parse(decode_bytes(printed["head"]))
        verify_head(head, parse_invite(served.invite or "").signing_key)
        assert (printed["size"], printed["log_id"]) == (2, encode_bytes(head.log_id))
        assert run("transparency", "verify", *data).returncode == 0  # while it runs
        served.stop()

    good = run("transparency", "verify", *data, "--head", printed["head"], "--json")
    assert good.returncode == 0
    assert json.loads(good.stdout) == {"leaves": 2, "root": printed["root"], "faults": 0}


async def test_a_row_that_was_changed_by_hand_is_told_on_the_command_line(tmp_path: Path) -> None:
    with open_data_folder(tmp_path) as folder:
        folder.signing_seed(os.urandom)
        async with open_sqlite_store(folder.database, reserve_bytes=0) as store:
            anna = await new_account(store, "anna")
            await store.accounts.set_handle(anna.account_id, "anna", None, now_ms=NOW_MS)
    lines = dict(
        line.split(None, 1)
        for line in run("transparency", "head", "--data", str(tmp_path)).stdout.splitlines()
    )
    assert lines["size"] == "2"
    with closing(sqlite3.connect(tmp_path / "relay.sqlite3")) as database, database:
        database.execute("UPDATE handles SET handle = 'thief'")
    bad = run("transparency", "verify", "--data", str(tmp_path))
    assert bad.returncode == 1
    assert bad.stdout.splitlines()[:2] == [
        "log: the handle thief was inserted: no leaf has it",
        "leaf 1: the handle that was bound here is gone",
    ]
    assert "2 faults" in bad.stdout
    told_json = run("transparency", "verify", "--data", str(tmp_path), "--json").stdout.splitlines()
    assert json.loads(told_json[1]) == {"leaf": 1, "fault": "the handle that was bound here is gone"}


@pytest.mark.parametrize("head", ["x", "AAAA", "===="])
def test_what_is_no_head_is_told_in_one_line(tmp_path: Path, head: str) -> None:
    with serving(tmp_path) as served:
        finished = run("transparency", "verify", "--data", str(tmp_path), "--head", head)
        served.stop()
    assert finished.returncode == 2
    (line,) = finished.stderr.splitlines()
    assert line.startswith("tokenim-relay: --head: ")


def test_a_folder_without_a_relay_is_told_in_one_line(tmp_path: Path) -> None:
    finished = run("transparency", "verify", "--data", str(tmp_path))
    assert finished.returncode == 2
    assert "start the relay first" in finished.stderr
