"""group_commits.json: every commit stands, or is refused for the reason that is named, whoever reads it."""

import json
from collections import Counter
from typing import Any

import pytest

from crypto import errors
from crypto.errors import CryptoError
from crypto.group_commits import SignedCommit
from crypto.group_rules import apply_commit
from crypto.group_state import parse_state
from crypto.manifest import SignedManifest
from crypto.manifest_chain import verify_chain
from tests.vectors import generate_group_commits

VECTORS: dict[str, Any] = json.loads(generate_group_commits.FILE.read_text(encoding="utf-8"))
COMMITS: list[dict[str, Any]] = VECTORS["commits"]
MANIFESTS = {
    bytes.fromhex(each["account"]): verify_chain(
        bytes.fromhex(each["account"]),
        None,
        [SignedManifest.parse(bytes.fromhex(one)) for one in each["manifests"]],
    )
    for each in VECTORS["accounts"].values()
    if each["manifests"]
}


def test_the_file_is_what_its_generator_writes() -> None:
    assert generate_group_commits.document() == generate_group_commits.FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", COMMITS, ids=[f"{each['rule']} {each['does']}" for each in COMMITS])
def test_a_commit_stands_or_fails_as_the_file_says(case: dict[str, Any]) -> None:
    encoded_state = bytes.fromhex(VECTORS["states"][case["state"]])
    state = parse_state(encoded_state) if encoded_state else None
    signed = SignedCommit.parse(bytes.fromhex(case["signature"] + case["body"]))
    assert signed.encode().hex() == case["signature"] + case["body"]
    if case["error"]:
        with pytest.raises(CryptoError) as caught:
            apply_commit(state, signed, MANIFESTS)
        assert type(caught.value) is getattr(errors, case["error"])
        return
    assert signed.commit.encode() == signed.body
    following = apply_commit(state, signed, MANIFESTS)
    assert following.encode().hex() == case["following"]
    assert parse_state(following.encode()).encode() == following.encode()


def test_there_are_cases_of_every_rule_and_names_are_used_once() -> None:
    stand = Counter(case["rule"] for case in COMMITS if not case["error"])
    fail = Counter(case["rule"] for case in COMMITS if case["error"])
    assert set(stand) >= {0, 1, 2, 3, 5, 6}
    assert set(fail) == {0, 1, 2, 3, 4, 5, 6}
    assert {case["error"] for case in COMMITS} == {
        *(None, "CommitRefused", "CommitOutdated", "ManifestGap", "GroupTooNew")
    }
    assert [name for name, count in Counter(case["does"] for case in COMMITS).items() if count > 1] == []
