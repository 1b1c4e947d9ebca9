"""Whether the transparency log fits itself and what it is about, row by row: what was changed, removed or inserted by hand.

Reads one snapshot of a database, of either kind: statements are ones that SQLite and PostgreSQL both know. Finds what somebody
did who can write there; whoever can also sign heads is found by the heads that others hold. Goes on with what is stored after
each fault, so that one change is one fault.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Protocol, TypeAlias

from relay.ports.transparency import KnownRoot
from relay.wire.errors import ManifestInvalid
from relay.wire.links import encode_id
from relay.wire.log_leaves import NOBODY, Leaf, LeafKind, handle_leaf, handle_salt, handle_subject
from relay.wire.manifests import parse_manifest
from relay.wire.merkle import EMPTY_ROOT, leaf_hash, left_of, node_hash, nodes_before, root_over

MOST_FAULTS: Final = 1_000  # told one by one; a database with more is not to be mended by hand

Row: TypeAlias = tuple[Any, ...]


class Ask(Protocol):
    """Asks the database, at one moment however many are asked, and in turns."""

    def __call__(self, statement: str, *parameters: object) -> Iterator[Row]:
        """The rows of the statement, in which parameters are $1, $2 …"""


@dataclass(frozen=True, slots=True)
class LogFault:
    """One thing that does not fit; `leaf` is the place in the log, None where a leaf is lacking."""

    leaf: int | None
    told: str


@dataclass(frozen=True, slots=True)
class LogVerdict:
    """What was found: how many leaves, the root over them, and the faults; none means that all fits."""

    leaves: int
    root: bytes
    faults: tuple[LogFault, ...]


@dataclass(slots=True)
class LogCheck:
    """One look at all of it. `handle_key`: with which handles are salted."""

    ask: Ask
    log_id: bytes
    handle_key: bytes
    faults: list[LogFault] = field(default_factory=list)

    def run(self, heads: Sequence[KnownRoot]) -> LogVerdict:
        """The verdict; `heads` are earlier ones that this relay signed."""
        size, root = self._tree([head for head in heads if head.log_id == self.log_id])
        self._heads(heads, self.log_id, size)
        self._manifests()
        self._accounts()
        self._handles(self.handle_key)
        return LogVerdict(size, root, tuple(self.faults))

    def _fault(self, leaf: int | None, told: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(LogFault(leaf, told))

    # The tree.

    def _tree(self, heads: Sequence[KnownRoot]) -> tuple[int, bytes]:
        """Every leaf and node in the order in which they were made; the roots of the heads as their sizes come by."""
        nodes = _Numbered(self.ask("SELECT node_number, hash FROM transparency_nodes ORDER BY node_number"))
        leaves = _Numbered(
            self.ask(
                """SELECT leaf_index, kind, subject, version, value_hash FROM transparency_leaves
                   ORDER BY leaf_index"""
            )
        )
        peaks: list[bytes] = []
        index = 0
        while (leaves.next or nodes.next) and len(self.faults) < MOST_FAULTS:
            made = self._leaf(index, leaves.take(index), nodes.take(nodes_before(index)))
            for above, _ in enumerate(left_of(index), 1):
                made = self._joined(index, above, node_hash(peaks.pop(), made), nodes)
            peaks.append(made)
            index += 1
            for head in heads:
                if head.size == index and head.root != root_over(peaks):
                    self._fault(
                        None, f"the first {index} leaves are not those of the head signed at {head.time_ms}"
                    )
        return index, root_over(peaks)

    def _leaf(self, index: int, row: Row | None, stored: Row | None) -> bytes:
        """The leaf's hash: the stored one where there is one."""
        hashed = None if row is None else _hash_of(*row[1:])
        if hashed is None:
            self._fault(index, "the leaf is gone, or is none any more")
        elif stored is None:
            self._fault(index, "the leaf's hash is gone from the tree")
        elif stored[1] != hashed:
            self._fault(index, "the leaf was changed: its hash in the tree is another one")
        return stored[1] if stored is not None else hashed or EMPTY_ROOT

    def _joined(self, index: int, above: int, joined: bytes, nodes: "_Numbered") -> bytes:
        """The hash of the node `above` the leaf that completes it: likewise."""
        stored = nodes.take(nodes_before(index) + above)
        if stored is None or stored[1] != joined:
            what = "is gone" if stored is None else "was changed"
            first = index + 1 - (1 << above)
            self._fault(index, f"the node over leaves {first} to {index} {what}")
        return joined if stored is None else bytes(stored[1])

    def _heads(self, heads: Sequence[KnownRoot], log_id: bytes, size: int) -> None:
        for head in heads:
            if head.log_id != log_id:
                self._fault(
                    None, f"the head signed at {head.time_ms} is of another log: there was a restore since"
                )
            elif head.size > size:
                self._fault(None, f"the log has shrunk: a head was signed over {head.size} leaves")

    # What the leaves are about.

    def _manifests(self) -> None:
        for index, account_id, version, value_hash, body in self.ask(
            """SELECT l.leaf_index, l.subject, l.version, l.value_hash, m.body FROM transparency_leaves AS l
               LEFT JOIN manifests AS m ON m.account_id = l.subject AND m.version = l.version
               WHERE l.kind = $1 AND l.subject NOT IN
                   (SELECT subject FROM transparency_leaves WHERE kind = $1 AND value_hash = $2)
               ORDER BY l.leaf_index""",
            int(LeafKind.MANIFEST),
            NOBODY,
        ):
            which = f"manifest {version} of account {encode_id(account_id)}"
            if body is None:
                self._fault(index, f"{which} is gone")
            elif sha256(body).digest() != value_hash:
                self._fault(index, f"{which} was changed")
        for account_id, version in self.ask(
            """SELECT account_id, version FROM manifests AS m WHERE NOT EXISTS (SELECT 1 FROM transparency_leaves
               WHERE kind = $1 AND subject = m.account_id AND version = m.version)""",
            int(LeafKind.MANIFEST),
        ):
            self._fault(
                None, f"manifest {version} of account {encode_id(account_id)} was inserted: no leaf has it"
            )

    def _accounts(self) -> None:
        """Which manifest counts, and the devices that come from it."""
        devices = "SELECT device_id, signing_key, identity_key, flags FROM devices WHERE account_id = $1 ORDER BY device_id"
        for account_id, version, manifest_hash, index, newest, body in self.ask(
            """SELECT a.account_id, a.manifest_version, a.manifest_hash, l.leaf_index, l.version, m.body
               FROM accounts AS a
               LEFT JOIN transparency_leaves AS l ON l.kind = $1 AND l.subject = a.account_id AND l.version =
                   (SELECT max(version) FROM transparency_leaves WHERE kind = $1 AND subject = a.account_id)
               LEFT JOIN manifests AS m ON m.account_id = a.account_id AND m.version = a.manifest_version
               ORDER BY a.account_id""",
            int(LeafKind.MANIFEST),
        ):
            name = encode_id(account_id)
            if index is None:
                self._fault(None, f"account {name} was inserted: no leaf has it")
            elif newest != version or body is None or sha256(body).digest() != manifest_hash:
                self._fault(index, f"account {name} does not stand at the manifest that the log has last")
            elif _devices_of(body) != list(self.ask(devices, account_id)):
                self._fault(index, f"the devices of account {name} are not those of its manifest")
        for index, account_id in self.ask(
            """SELECT leaf_index, subject FROM transparency_leaves AS l WHERE kind = $1 AND version = 1
               AND NOT EXISTS
                   (SELECT 1 FROM transparency_leaves WHERE kind = $1 AND subject = l.subject AND value_hash = $2)
               AND NOT EXISTS (SELECT 1 FROM accounts WHERE account_id = l.subject)""",
            int(LeafKind.MANIFEST),
            NOBODY,
        ):
            self._fault(index, f"account {encode_id(account_id)} is gone, and there are leaves of it")
        for (account_id,) in self.ask(
            """SELECT account_id FROM devices AS d
               WHERE NOT EXISTS (SELECT 1 FROM accounts WHERE account_id = d.account_id)"""
        ):
            self._fault(None, f"account {encode_id(account_id)} is gone, and there are devices of it")

    def _handles(self, handle_key: bytes) -> None:
        find = """SELECT leaf_index, version, value_hash FROM transparency_leaves WHERE kind = $1 AND subject = $2
                  ORDER BY version DESC LIMIT 1"""
        bound: set[int] = set()
        for handle, account_id in self.ask("SELECT handle, account_id FROM handles"):
            subject = handle_subject(handle_salt(handle_key, handle), handle)
            found = next(self.ask(find, int(LeafKind.HANDLE), subject), None)
            if found is None:
                self._fault(None, f"the handle {handle} was inserted: no leaf has it")
                continue
            index, version, value_hash = found
            bound.add(index)
            if value_hash != handle_leaf(subject, version, account_id).value_hash:
                self._fault(index, f"the handle {handle} names another account than the log has last")
        for index, versions, newest, value_hash in self.ask(
            """SELECT l.leaf_index, (SELECT count(*) FROM transparency_leaves WHERE kind = $1 AND subject = l.subject),
                   l.version, l.value_hash
               FROM transparency_leaves AS l WHERE l.kind = $1 AND NOT EXISTS
                   (SELECT 1 FROM transparency_leaves AS newer
                    WHERE newer.kind = $1 AND newer.subject = l.subject AND newer.version > l.version)""",
            int(LeafKind.HANDLE),
        ):
            if versions != newest:
                self._fault(index, "versions of this handle are missing before this one")
            if value_hash != NOBODY and index not in bound:
                self._fault(index, "the handle that was bound here is gone")


class _Numbered:
    """Rows whose first column counts up, taken by number."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self.next = next(rows, None)

    def take(self, number: int) -> Row | None:
        """The row of this number, if it comes next."""
        while self.next is not None and self.next[0] <= number:
            taken, self.next = self.next, next(self._rows, None)
            if taken[0] == number:
                return taken
        return None


def _hash_of(kind: int, subject: bytes, version: int, value_hash: bytes) -> bytes | None:
    """The hash of a leaf's row; None of one that is no leaf."""
    try:
        return leaf_hash(Leaf(LeafKind(kind), subject, version, value_hash).encode())
    except (ValueError, OverflowError):
        return None


def _devices_of(body: bytes) -> list[Row] | None:
    try:
        listed = parse_manifest(body).devices
    except ManifestInvalid:
        return None
    return [(each.device_id, each.signing_key, each.identity_key, each.flags) for each in listed]
