"""A transparency log that the relay makes up, signed by its own key, to be shown in the place of the true one.

The true relay refuses to speak of sizes that its log never had, so a forged log is never larger: what is put into it
takes the place of a leaf.
"""

import sqlite3
from contextlib import closing
from typing import Any
from urllib.parse import parse_qs, urlsplit

from crypto.manifest import SignedManifest
from crypto.transparency import LeafType, SignedHead, leaf
from relay.adapters.data_folder import DataFolder
from relay.wire.links import encode_bytes
from relay.wire.log_leaves import Leaf, LeafKind
from relay.wire.resources import ManifestsAnswer
from tests.hostile.middleman import Exchange
from tests.hostile.stage import Stage
from tests.signed_log import SignedLog


def manifest_entry(signed: SignedManifest) -> bytes:
    """The leaf of a manifest."""
    manifest = signed.manifest
    return leaf(LeafType.MANIFEST, manifest.account_id, manifest.version, signed.hash)


class ForgedLog:
    """At first the true log; then what the relay makes of it."""

    def __init__(self, stage: Stage, log: SignedLog) -> None:
        self.stage = stage
        self.log = log
        self.head: SignedHead | None = None
        """What it answers with; otherwise a fresh one."""

    @classmethod
    def of(cls, stage: Stage) -> "ForgedLog":
        """The true one, and the relay's key."""
        with closing(sqlite3.connect(DataFolder(stage.data).database)) as database:
            ((log_id, time_ms),) = database.execute("SELECT log_id, head_time_ms FROM transparency_log")
            rows = database.execute(
                "SELECT kind, subject, version, value_hash FROM transparency_leaves ORDER BY leaf_index"
            )
            leaves = [Leaf(LeafKind(kind), *rest).encode() for kind, *rest in rows]
        return cls(stage, SignedLog(leaves, stage.relay_key, log_id, time_ms))

    def replace_last(self, entry: bytes) -> int:
        """Put this in the place of the newest leaf; its index."""
        self.log.leaves[-1] = entry
        return len(self.log.leaves) - 1

    def inclusion(self, index: int) -> dict[str, Any]:
        """The proof for a leaf, as answers hold it."""
        proof = self.log.inclusion(index, self.head)
        return {
            "head": encode_bytes(proof.head.encode()),
            "index": index,
            "hashes": [encode_bytes(each) for each in proof.hashes],
        }

    def takes_over(self, *, from_devices: bool = True) -> None:
        """From now on the relay answers from this log; not `from_devices`: to signed requests from the true one."""

        def heads(exchange: Exchange) -> None:
            exchange.json = {"head": encode_bytes((self.head or self.log.head()).encode())}

        def consistency(exchange: Exchange) -> None:
            asked = parse_qs(urlsplit(exchange.target).query)
            proof = self.log.consistency(int(asked["from"][0]), int(asked["to"][0]))
            exchange.json = {"hashes": [encode_bytes(each) for each in proof]}

        def manifests(exchange: Exchange) -> None:
            if exchange.signed and not from_devices:
                return
            answer = ManifestsAnswer.model_validate_json(exchange.body)
            newest = answer.manifests[-1].signed_manifest()
            entry = manifest_entry(SignedManifest(newest.body, newest.signer, newest.signature))
            exchange.json = {
                **exchange.json,
                "inclusion": self.inclusion(self.log.leaves.index(entry)),
            }

        def handles(exchange: Exchange) -> None:
            index = exchange.json["inclusion"]["index"]
            exchange.json = {**exchange.json, "inclusion": self.inclusion(index)}

        relay = self.stage.relay
        relay.changes_answers("GET", "/v1/transparency/head", heads)
        relay.changes_answers("GET", "/v1/transparency/consistency", consistency)
        relay.changes_answers("GET", "/v1/accounts/*/manifests", manifests)
        if from_devices:
            relay.changes_answers("GET", "/v1/handles/*", handles)
