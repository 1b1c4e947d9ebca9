"""A transparency log that a test makes and signs itself, as a relay would or as one that deceives."""

from dataclasses import dataclass, field

from crypto.keys import SigningKeyPair
from crypto.manifest import SignedManifest
from crypto.transparency import Inclusion, LeafType, SignedHead, head_body, leaf
from tests.crypto_people import SeededRandom
from tests.merkle_log import consistency, inclusion, root_of

RELAY = SigningKeyPair.generate(SeededRandom("relay"))
START_MS = 1_800_000_000_000


@dataclass
class SignedLog:
    """Leaves, and what is signed and proved of them. `time_ms` goes on by itself."""

    leaves: list[bytes] = field(default_factory=list)
    key: SigningKeyPair = RELAY
    log_id: bytes = b"L" * 32
    time_ms: int = START_MS

    def add(self, *signed: SignedManifest) -> int:
        """Log these manifests; the index of the last."""
        for one in signed:
            manifest = one.manifest
            self.leaves.append(leaf(LeafType.MANIFEST, manifest.account_id, manifest.version, one.hash))
        return len(self.leaves) - 1

    def grow(self, count: int) -> None:
        """Log something else, so often."""
        start = len(self.leaves)
        self.leaves += [b"another leaf %d" % number for number in range(start, start + count)]

    def forked(self, at: int) -> "SignedLog":
        """The same log with another leaf in one place."""
        leaves = list(self.leaves)
        leaves[at] += b", forged"
        return SignedLog(leaves, self.key, self.log_id, self.time_ms)

    def head(self, size: int | None = None, *, time_ms: int | None = None) -> SignedHead:
        """Signed now, over all leaves or the first of them."""
        size = len(self.leaves) if size is None else size
        self.time_ms += 1_000
        at_ms = self.time_ms if time_ms is None else time_ms
        body = head_body(self.log_id, size, root_of(self.leaves[:size]), at_ms)
        return SignedHead.parse(self.key.sign(body) + body)

    def inclusion(self, index: int, head: SignedHead | None = None) -> Inclusion:
        """The proof for a leaf."""
        head = head or self.head()
        return Inclusion(head, index, tuple(inclusion(self.leaves[: head.size], index)))

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """The proof between two sizes."""
        return tuple(consistency(self.leaves[:new], old))
