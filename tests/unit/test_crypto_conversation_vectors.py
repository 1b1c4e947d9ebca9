"""Whole conversations of tests/vectors are played again from their files alone, byte for byte."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crypto import linking, pqxdh, primitives, root_chain
from crypto.errors import CryptoError
from tests.group_stage import GroupStage
from tests.named_randomness import Given, derandomised
from tests.pair_stage import PairStage
from tests.vectors import generate_conversations, generate_group_conversations

FOLDER = Path(generate_conversations.__file__).parent
STAGES: dict[str, Callable[[], Any]] = {
    **dict.fromkeys(generate_conversations.FILES, PairStage),
    **dict.fromkeys(generate_group_conversations.FILES, GroupStage),
}


def steps_of(name: str) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = json.loads((FOLDER / name).read_text(encoding="utf-8"))["steps"]
    return steps


def replay(name: str, steps: list[dict[str, Any]]) -> None:
    stage = STAGES[name]()
    for number, step in enumerate(steps):
        draws = Given(step["action"], step["random"])
        assert stage.play(step, draws) == step["result"], (number, step["does"])
        draws.require_used_up()


@pytest.mark.parametrize("name", STAGES)
def test_b15_a_conversation_follows_from_its_file(name: str) -> None:
    replay(name, steps_of(name))


@pytest.mark.parametrize("name", STAGES)
def test_the_file_is_what_its_generator_writes(name: str) -> None:
    made_by = generate_conversations if name in generate_conversations.FILES else generate_group_conversations
    assert made_by.document(name) == (FOLDER / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", STAGES)
def test_other_randomness_gives_another_conversation(name: str) -> None:
    """The second byte of each kind of randomness, where it is first drawn (z, the last half of an ML-KEM seed, shows nowhere)."""
    steps, tried = steps_of(name), set()
    for number, step in enumerate(steps):
        for drawn, value in step["random"].items():
            if (step["action"], drawn) in tried:
                continue
            tried.add((step["action"], drawn))
            other = f"{value[:2]}{int(value[2:4], 16) ^ 1:02x}{value[4:]}"
            changed = [*steps[:number], step | {"random": step["random"] | {drawn: other}}]
            with pytest.raises((AssertionError, CryptoError)):
                replay(name, changed)
    assert tried


def test_the_conversations_have_what_they_are_for() -> None:
    seen: Counter[str] = Counter()
    for name in STAGES:
        for step in steps_of(name):
            kept = step["result"]
            seen[kept.get("error") or step["action"]] += 1
            seen["post-quantum steps"] += kept.get("kem_step", False)
            seen["set-ups that lost"] += kept.get("is_active") is False
    wanted = {"Undecryptable", "InvalidEncoding", "InvalidKey", "InvalidSignature", "StaleKey", "Replayed"}
    wanted |= {
        "ChainMissing",
        "NotEntitled",
        "CommitRefused",
        "tell_secret",
        "tell_welcome",
        "hear",
        "create",
    }
    wanted |= {"LinkRefused", "link_confirm", "begin", "send", "receive", "set-ups that lost"}
    assert {what for what in wanted if not seen[what]} == set()
    assert seen["post-quantum steps"] >= 2


def test_what_stands_in_for_the_library_opens_with_the_library() -> None:
    """Only encapsulation and sealing are replaced, and only for a while."""
    own = primitives.ml_kem_768_encapsulate
    key, private = primitives.KemPrivateKey(bytes(64)), primitives.HpkePrivateKey(bytes(32))
    draws = Given("send", {"encapsulation": "07" * 32, "seal": "08" * 64})
    with derandomised(draws):
        secret, ciphertext = root_chain.ml_kem_768_encapsulate(key.public_bytes())
        sealed = linking.hpke_seal(private.public_bytes(), b"info", b"text")
    assert key.decapsulate(ciphertext) == secret
    assert primitives.hpke_open(private, b"info", sealed) == b"text"
    assert pqxdh.ml_kem_768_encapsulate is root_chain.ml_kem_768_encapsulate is own
    draws.require_used_up()
