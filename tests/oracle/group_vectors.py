"""The vectors of groups, compared with the oracle; each function reads the whole of its file."""

from typing import Any

import pytest

from tests.oracle import ed25519, group_messages, group_state, manifests
from tests.oracle.refusals import Refused, failure_of
from tests.oracle.transcripts import fields_of, sha256, transcript, u32
from tests.oracle.vector_files import Part

LABELS = {
    "GROUP_STATE": b"tokenim/v1 group state\0",
    "GROUP_COMMIT": b"tokenim/v1 group commit\0",
    "GROUP_REQUEST": b"tokenim/v1 group request\0",
    "GROUP_ENTRY": b"tokenim/v1 group log entry\0",
    "GROUP_MESSAGE": b"tokenim/v1 group message\0",
    "GROUP_SIGNATURE": b"tokenim/v1 group signature\0",
    "EPOCH_COMMITMENT": b"tokenim/v1 epoch commitment\0",
    "EPOCH_KEYS": b"tokenim/v1 epoch keys\0",
    "EPOCH_STEP": b"tokenim/v1 epoch step\0",
    "GROUP_CHAIN": b"tokenim/v1 group chain\0",
}


def derived(keys: dict[str, Any], part: Part) -> None:
    """Keys of an epoch are those of the vectors."""
    named = {"header": "header_key", "entry": "entry_key", "read_token": "read_token", "secret": "secret"}
    for mine, theirs in named.items():
        assert keys[mine] == part.data(theirs)
    assert (keys["epoch"], keys["step"]) == (part["epoch"], part["step"])


def check_group_derivations(file: Part) -> None:
    assert {name: file["labels"].data(name) for name in file["labels"]} == LABELS
    assert dict(list(file["roles"][name]) for name in file["roles"]) == group_state.ROLE_RIGHTS
    part = file["epoch"]
    group_id, cut, secret = part.data("group_id", "cut_hash", "secret")
    keys = group_messages.epoch_keys(group_id, part["epoch"], part["step"], cut, secret)
    derived(keys, part)
    assert group_messages.commitment_of(group_id, secret) == part.data("commitment")
    for told in file["epoch_hand_outs"]:
        assert group_messages.epoch_hand_out(keys, told.data("write_seed")) == told.data("encoded")
        assert group_messages.parse_hand_out(told.data("encoded")) == (keys, told.data("write_seed"))
    check_asked(file["request"])
    part = file["turns"]
    accounts, about = part["accounts"].all_data(), b"".join(part.data("group_id", "member"))
    hashes = [sha256(about + one) for one in accounts]
    assert hashes == sorted(hashes) == part["hashes"].all_data()
    part = file["chain_hand_out"]
    chain = group_messages.parse_chain(part.data("encoded"))
    names = "group_id", "cut_hash", "chain_id", "chain_key"
    assert [chain[name] for name in names] == part.data(*names)
    told = part["epoch"], part["iteration"], part.data("signing_public")
    assert (chain["epoch"], chain["iteration"], chain["public"]) == told
    assert group_messages.chain_hand_out(chain) == part.data("encoded")
    readers = {
        "epoch_hand_outs": group_messages.parse_hand_out,
        "chain_hand_outs": group_messages.parse_chain,
        "entries": lambda entry: group_messages.open_entry(keys, 7, entry),
    }
    assert [*file["must_fail"]] == [*readers]
    for name, reader in readers.items():
        for part in file["must_fail"][name]:
            assert failure_of(reader, part.data("encoded")) == part["error"], (name, part["name"])
    part = file["step"]
    after = group_messages.next_secret(group_id, keys["epoch"], 1, part.data("state_hash"), secret)
    derived(group_messages.epoch_keys(group_id, keys["epoch"], 1, part.data("cut_hash"), after), part)
    part = file["chain_step"]
    assert group_messages.chain_step(part.data("chain_key")) == (part.data("message_key"), part.data("next"))


def check_asked(part: Part) -> None:
    names = part.data("group_id", "account", "device")
    asked = group_state.request(*names, part["since"], part["kind"], part["value"], part["asked_at_ms"])
    assert asked == part.data("transcript")
    signature = ed25519.sign(part.data("signing_seed"), asked)
    assert (signature, signature + asked) == tuple(part.data("signature", "encoded"))


def follow_log(file: Part, chains: group_state.Chains, names: dict[str, bytes]) -> dict[int, dict[str, Any]]:
    """The keys of each epoch, after reading every entry."""
    group_id, state, known = file.data("group_id"), None, dict[int, dict[str, Any]]()
    for entry in file["entries"]:
        sealed, index = entry.data("entry"), entry["index"]
        if entry.get("skipped"):
            with pytest.raises(Refused):
                group_messages.open_entry(known[max(known)], index, sealed)
            assert state is not None
            assert group_state.state_hash(state) == entry.data("state_hash")
            continue
        secret, epoch, body = entry.data("secret"), entry["epoch"], entry.data("body")
        following = group_state.apply_commit(state, entry.data("signature"), body, chains)
        assert group_state.encode_state(following) == entry.data("state")
        assert group_state.parse_state(entry.data("state")) == following
        assert (following["epoch"], following["step"]) == (epoch, entry["step"])
        assert group_state.state_hash(following) == entry.data("state_hash")
        assert group_messages.commitment_of(group_id, secret) == following["commitment"]
        fields = fields_of(LABELS["GROUP_COMMIT"], body)
        assert fields[3] == names[entry["by"]]
        if "changes" in entry:
            assert fields[8:] == entry["changes"].all_data()
        if epoch not in known:
            cut = group_state.hash_at_cut(following)
            known[epoch] = group_messages.epoch_keys(group_id, epoch, entry["step"], cut, secret)
        assert group_messages.entry_ad(group_id, index) == entry.data("associated_data")
        left = known[state["epoch"] if state else epoch]  # an entry is sealed under the epoch that it leaves
        assert group_messages.open_entry(left, index, sealed) == (entry.data("signature"), body)
        assert group_messages.seal_entry(left, index, entry.data("signature") + body, sealed[1:13]) == sealed
        state = following
    return known


def check_message(part: Part, known: dict[int, dict[str, Any]], sender: tuple[bytes, bytes]) -> None:
    chain = group_messages.parse_chain(part.data("chain_hand_out"))
    assert group_messages.chain_hand_out(chain) == part.data("chain_hand_out")
    header_key = known[part["epoch"]]["header"]
    envelope, text = part.data("envelope", "plaintext")
    assert chain["iteration"] == part["iteration"]
    made = group_messages.seal_message(text, header_key, chain, sender, *part.data("signing_seed", "nonce"))
    assert ed25519.public_of(part.data("signing_seed")) == chain["public"]
    steps = group_messages.chain_step(chain["chain_key"])
    assert steps == (part.data("message_key"), part.data("next_chain_key"))
    readers = list(
        part["opens_for"]
    )  # that it opens for each of them, and for nobody else, the product's tests say
    assert part.get("reader") in (None, *readers)
    if "error" in part:
        assert made != envelope
        given = envelope, [header_key], chain, sender[0]
        assert failure_of(group_messages.received, *given) == part["error"], part["does"]
    else:
        assert made == envelope
        device, chain_id, iteration = group_messages.open_header(envelope, header_key)
        assert device + chain_id + u32(iteration) == part.data("header")
        fields = group_messages.bound_to(chain, *sender, iteration)
        assert list(group_messages.bound(envelope, fields)) == part.data("associated_data", "signed")
        assert group_messages.open_message(envelope, header_key, chain, sender[0]) == text


def check_group_life(file: Part) -> None:
    chains, senders = {}, {}
    for name in file["members"]:
        part = file["members"][name]
        account, device, public = part.data("account", "device", "signing_public")
        chain = manifests.verify_chain(account, [], [manifests.parse(part.data("manifest"))])
        assert chain[0].devices[device].signing == public
        chains[account], senders[name] = chain, (account, device)
    known = follow_log(file, chains, {name: sender[0] for name, sender in senders.items()})
    assert sorted(known) == [1, 2, 3, 4]
    for message in file["messages"]:
        check_message(message, known, senders[message["from"]])


def check_group_commits(file: Part) -> None:
    """Each commit is judged by the state that it names, and by all manifests; it is built anew from its fields."""
    chains: group_state.Chains = {}
    accounts = {name: file["accounts"][name] for name in file["accounts"]}
    for part in accounts.values():
        account, listed = part.data("account"), part["manifests"].all_data()
        if listed:
            chains[account] = manifests.verify_chain(account, [], [*map(manifests.parse, listed)])
            assert part.data("device") in chains[account][-1].devices
        else:
            part.data("device")  # of whom nobody has the list
    states = {name: file["states"].data(name) for name in file["states"]}
    for part in file["commits"]:
        before = group_state.parse_state(states[part["state"]]) if states[part["state"]] else None
        signature, body, following = part.data("signature", "body", "following")
        assert part["rule"] in range(7)
        assert part["by"] in accounts
        assert bool(part["error"]) == (not following)
        failure = failure_of(group_state.apply_commit, before, signature, body, chains)
        assert failure == part["error"], part["does"]
        if not following:
            continue
        after = group_state.apply_commit(before, signature, body, chains)
        assert group_state.encode_state(after) == following
        assert transcript(LABELS["GROUP_COMMIT"], *fields_of(LABELS["GROUP_COMMIT"], body)) == body


CHECKS = {
    "group_commits.json": check_group_commits,
    "group_derivations.json": check_group_derivations,
    "group_life.json": check_group_life,
}
