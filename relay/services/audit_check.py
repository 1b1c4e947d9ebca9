"""Whether the audit log fits itself, the relay's key and heads that were kept elsewhere: names what somebody changed by hand.

Takes row after row, in any number of pieces, and keeps little. Without the relay's key no row can be changed, removed in
the middle or added unseen, for each is signed; who has the key, or cuts off the end, is found by the heads.
Goes on with what is stored after each fault, so that one change is one fault.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

from relay.services.audit import Action, open_audit_head
from relay.session.proof import verify_signature
from relay.wire.audit_rows import AuditHead, AuditRow, Details, Tip, audit_head_transcript
from relay.wire.errors import MalformedRequest, RelayError, Unauthenticated
from relay.wire.merkle import grown, root_over

BLOCK_ROWS: Final = 256  # one signature of so many is checked, and the others if it does not fit
MOST_FAULTS: Final = 1_000  # told one by one
STANDS_ELSEWHERE: Final = "where the log stands was changed in the table audit_log"


@dataclass(frozen=True, slots=True)
class AuditFault:
    """One thing that does not fit; `row` is its number, None where it is about no single row."""

    row: int | None
    told: str


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """What was found: how many rows, the root over them, and the faults; none means that all fits."""

    rows: int
    root: bytes
    faults: tuple[AuditFault, ...]


class AuditCheck:
    """One run through the log, from row 0 to its end."""

    def __init__(self, relay_public: bytes, heads: Sequence[AuditHead] = ()) -> None:
        """`heads` are earlier heads that this relay signed."""
        self._public = relay_public
        self._heads = sorted(heads, key=lambda head: head.size)
        self._faults: dict[tuple[int | None, str], AuditFault] = {}
        self._faulty: set[int] = set()
        self._next = 0
        self._before: bytes | None = b""  # signature of the row before
        self._after_gap = False
        self._gaps: list[tuple[int, int]] = []  # rows that are not there: from, up to
        self._up_to_gap: Tip | None = None  # the log as it stands before the first of them
        self._peaks: tuple[bytes, ...] | None = ()  # None: the tree cannot be followed any more
        self._checked: tuple[int, tuple[bytes, ...]] = (0, ())  # up to where signatures fit
        self._block: list[tuple[int, bytes, bytes | None]] = []  # time, leaf, signature of the rows since
        self._unsigned_from: int | None = None  # rows just before the block, none of which has a signature
        self._fits_up_to = 0  # rows, by the heads
        self._bare: list[tuple[int, int]] = []  # rows without details: from, up to
        self._kept_from = 0
        self._erased = 0
        self._newest_erased = 0
        self._told_erased = 0
        self._match_heads()

    @property
    def gave_up(self) -> bool:
        """So much does not fit that nothing more is looked for."""
        return len(self._faults) + len(self._gaps) >= MOST_FAULTS

    def take(self, row: AuditRow) -> None:
        """The next row there is."""
        if row.index < self._next:
            self._fault(row.index, "was inserted: rows count from 0")
            return
        if row.index > self._next:
            self._settle()
            if not self._gaps:
                self._up_to_gap = self._stands()
            self._gaps.append((self._next, row.index))
            self._lose_tree()
            self._next, self._after_gap = row.index, True
        leaf = self._leaf(row)
        self._next += 1
        self._before, self._after_gap = row.signature, False
        if self._peaks is not None:
            self._peaks = grown(self._peaks, row.index, leaf)
            self._block.append((row.at_ms, leaf, row.signature))
            if len(self._block) >= BLOCK_ROWS:
                self._settle()
            self._match_heads()

    def finish(self, tip: Tip) -> AuditVerdict:
        """What was found, now that all rows were taken; `tip` is where the log says that it stands."""
        if tip.size < self._next and self._block and not self._signed(len(self._block) - 1):
            for row in range(tip.size, min(self._next, tip.size + MOST_FAULTS)):
                self._fault(row, "was inserted after the newest row")
        self._settle()
        end = self._end(tip)
        self._tell_gaps(end)
        if self._gaps and end != tip.size:
            self._fault(None, STANDS_ELSEWHERE)
        if end > self._next:
            self._gone(self._next, end)
        elif self._peaks is not None and not self._faulty:
            self._match_tip(tip)
        for head in self._heads:
            if head.size > self._next:
                self._fault(
                    self._next,
                    f"and all after it are gone: a head was signed over {head.size} rows at {_when(head.time_ms)}",
                )
                break
        self._match_absences()
        root = root_over(self._peaks) if self._peaks is not None else tip.root
        told = sorted(self._faults.values(), key=lambda fault: (fault.row is None, fault.row or 0))
        return AuditVerdict(self._next, root, tuple(told))

    def _fault(self, row: int | None, told: str) -> None:
        if row is not None:
            if row in self._faulty:
                return
            self._faulty.add(row)
        if len(self._faults) < MOST_FAULTS:
            self._faults[row, told] = AuditFault(row, told)

    def _stands(self) -> Tip | None:
        """Where the log stands with the rows so far, as long as the tree can be followed."""
        if self._peaks is None or self._before is None:
            return None
        return Tip(self._next, self._peaks, self._before)

    def _end(self, tip: Tip) -> int:
        """How many rows the relay wrote: as many as `tip` says, unless its peaks and signature are those of fewer."""
        known = self._up_to_gap if self._gaps else self._stands()
        if known is not None and (known.peaks, known.signature) == (tip.peaks, tip.signature):
            return known.size
        return tip.size

    def _tell_gaps(self, end: int) -> None:
        """Rows are gone up to the end of the log; what lies beyond it was inserted, whatever its number."""
        beginnings = [*self._gaps, (self._next, self._next)]
        for (first, found), (until, _) in pairwise(beginnings):
            if first < end:
                self._gone(first, min(found, end))
            if until > end:
                self._inserted(max(found, end), until)

    def _inserted(self, first: int, end: int) -> None:
        told = "was inserted" if end == first + 1 else f"and those up to row {end - 1} were inserted"
        self._fault(first, f"{told} after the newest row")

    def _gone(self, first: int, end: int) -> None:
        self._fault(first, "is gone" if end == first + 1 else f"and those up to row {end - 1} are gone")

    # One row.

    def _leaf(self, row: AuditRow) -> bytes:
        """The leaf to go on with: the stored one, unless the row and its signature say that this one was changed."""
        if row.details is None:
            self._note_bare(row)
            return row.leaf_hash
        if self._before is None and not self._after_gap:
            self._fault(row.index - 1, "has lost its signature")
        if row.signature is None:
            self._fault(row.index, "has lost its signature")
        if self._before is not None and not self._after_gap:
            try:
                hashed = row.details.hash(row.at_ms, self._before)
            except (RelayError, ValueError, OverflowError, AttributeError, TypeError):
                self._fault(row.index, "is no row any more")
                return row.leaf_hash
            if hashed != row.leaf_hash:
                return self._judge(row, hashed)
        self._note_absences(row.index, row.details)
        return row.leaf_hash

    def _judge(self, row: AuditRow, hashed: bytes) -> bytes:
        """A row does not hash to its leaf: the signature before it, its leaf, or what it says was changed."""
        if self._block and not self._signed(len(self._block) - 1):
            if self._goes_on_with(row, row.leaf_hash):
                self._fault(row.index - 1, "was changed: its signature is another one")
                self._block[-1] = (*self._block[-1][:2], None)
                return row.leaf_hash
            self._settle()
        if self._goes_on_with(row, hashed):
            self._fault(row.index, "was changed: its hash in the tree is another one")
            return hashed
        self._fault(row.index, "was changed or inserted: it is not what its hash in the tree was made of")
        return row.leaf_hash

    def _goes_on_with(self, row: AuditRow, leaf: bytes) -> bool:
        """Whether the row's signature fits the tree with this leaf."""
        if self._peaks is None or row.signature is None:
            return False
        root = root_over(grown(self._peaks, row.index, leaf))
        return self._signs(row.index + 1, root, row.at_ms, row.signature)

    def _note_bare(self, row: AuditRow) -> None:
        if row.signature is None and row.at_ms:
            self._fault(row.index, "was changed: its time would have been dropped with all else")
        if self._bare and self._bare[-1][1] == row.index:
            self._bare[-1] = (self._bare[-1][0], row.index + 1)
        else:
            self._bare.append((row.index, row.index + 1))

    def _note_absences(self, index: int, details: Details) -> None:
        """What is lacking in a row, and what a good row tells about what is lacking in others."""
        lacking = details.actor.erased + details.subject.erased
        if lacking:
            self._erased += lacking
            self._newest_erased = index
        if details.action == Action.AUDIT_DROP and details.detail.isdecimal():
            self._kept_from = int(details.detail)
        elif details.action == Action.AUDIT_ERASE and details.detail.isdecimal():
            self._told_erased += int(details.detail)

    # The tree.

    def _signs(self, size: int, root: bytes, time_ms: int, signature: bytes) -> bool:
        try:
            verify_signature(self._public, audit_head_transcript(size, root, time_ms), signature)
        except (Unauthenticated, OverflowError):
            return False
        return True

    def _signed(self, place: int) -> bool:
        """Whether the signature of the row in this place of the block is there and fits the tree up to it."""
        size, peaks = self._tree_after(place + 1)
        time_ms, _, signature = self._block[place]
        return signature is not None and self._signs(size, root_over(peaks), time_ms, signature)

    def _settle(self) -> None:
        """Whether signatures fit the tree up to here; if not, the first row from which on they do not."""
        if self._peaks is None:
            return
        first = self._next - len(self._block)
        places = [
            place
            for place, (_, _, signature) in enumerate(self._block)
            if signature is not None and first + place not in self._faulty
        ]
        if places and not self._signed(places[-1]):
            good, bad = -1, len(places) - 1
            while bad - good > 1:
                middle = (good + bad) // 2
                good, bad = (middle, bad) if self._signed(places[middle]) else (good, middle)
            self._tell_unsigned(first, places, bad)
            self._lose_tree()
        elif len(self._block) >= BLOCK_ROWS:
            if places:
                self._unsigned_from = None
            elif self._unsigned_from is None:
                self._unsigned_from = first
            self._forget_block(places[-1] + 1 if places else len(self._block))

    def _forget_block(self, count: int) -> None:
        """Its first `count` rows are done with."""
        self._checked = self._tree_after(count)
        del self._block[:count]

    def _tree_after(self, count: int) -> tuple[int, tuple[bytes, ...]]:
        """Rows and peaks with the first `count` rows of the block."""
        size, peaks = self._checked
        if count == len(self._block) and self._peaks is not None:
            return size + count, self._peaks
        for _, leaf, _ in self._block[:count]:
            peaks = grown(peaks, size, leaf)
            size += 1
        return size, peaks

    def _lose_tree(self) -> None:
        self._peaks = None
        self._block.clear()

    def _tell_unsigned(self, first: int, places: Sequence[int], bad: int) -> None:
        row = first + places[bad]
        since = first + places[bad - 1] + 1 if bad else first
        if not bad and self._unsigned_from is not None:
            since = self._unsigned_from
        if since == row:
            self._fault(row, "was changed or inserted: the relay has not signed it like this")
        else:
            self._fault(row, f"or one of those from row {since} on, whose details were dropped, was changed")

    def _match_heads(self) -> None:
        while self._heads and self._heads[0].size == self._next and self._peaks is not None:
            head = self._heads.pop(0)
            if head.root == root_over(self._peaks):
                self._fits_up_to = head.size
                continue
            told = f"or one of those up to row {head.size - 1} was written anew: the head signed at"
            self._fault(self._fits_up_to, f"{told} {_when(head.time_ms)} is over others")
            self._heads.clear()  # none that comes later fits, either

    # The end.

    def _match_tip(self, tip: Tip) -> None:
        if (tip.size, tip.peaks) != (self._next, self._peaks) or (
            self._before is not None and self._before != tip.signature
        ):
            self._fault(None, STANDS_ELSEWHERE)

    def _match_absences(self) -> None:
        """Details and ids are lacking only where a row tells that they were taken away."""
        for start, end in self._bare:
            if end > self._kept_from:
                self._fault(max(start, self._kept_from), "has lost its details, and no row tells why")
        if self._erased > self._told_erased:
            self._fault(
                self._newest_erased,
                f"or one before it has lost an id: {self._erased} are erased, and rows tell of {self._told_erased}",
            )


def open_heads(
    signed: Iterable[bytes], relay_public: bytes
) -> tuple[list[AuditHead], tuple[AuditFault, ...]]:
    """What heads that were kept elsewhere say; one that another key signed is a fault."""
    heads, faults = [], []
    for each in signed:
        try:
            heads.append(open_audit_head(each, relay_public))
        except MalformedRequest:
            faults.append(AuditFault(None, "a head of those kept elsewhere is not by this relay's key"))
    return heads, tuple(faults)


def check_rows(
    rows: Iterable[AuditRow], tip: Tip, relay_public: bytes, heads: Sequence[AuditHead] = ()
) -> AuditVerdict:
    """The verdict over a whole log at once."""
    check = AuditCheck(relay_public, heads)
    for row in rows:
        check.take(row)
        if check.gave_up:
            break
    return check.finish(tip)


def _when(time_ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(time_ms / 1_000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms"
