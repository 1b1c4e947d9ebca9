"""Used numbers: which envelope took which number of a chain, to tell a harmless repeat from a copied state.

The relay may deliver an envelope twice: the number is used and the envelope is the one that used it. Another envelope
under a used number was made by somebody who holds a copy of the sender's state. An envelope is known by the first
8 bytes of its random nonce: the header's AEAD binds nonce and header together, so a relay that alters a body cannot
raise a false alarm, and who holds the copied state gains nothing by repeating a nonce, as no such message opens.
The newest records are kept; docs/protocol.md, "Ratchet".
"""

from typing import Final

from .secret_value import SecretValue

__all__ = ["FINGERPRINT_BYTES", "NONE_USED", "RECORDS_IN_PAGE", "RECORD_BYTES", "UsedNumbers"]

FINGERPRINT_BYTES: Final = 8
RECORD_BYTES: Final = 4 + FINGERPRINT_BYTES  # u32 number ‖ fingerprint
RECORDS_IN_PAGE: Final = 50
_PAGE_BYTES: Final = RECORDS_IN_PAGE * RECORD_BYTES


class UsedNumbers(SecretValue, frozen=True, eq=False):
    """(number, fingerprint) records of one receiving chain, in order of use.

    Full pages are shared by all later states; only the last one, at most 600 B, is copied when a record is added.
    """

    pages: tuple[bytes, ...] = ()
    last: bytes = b""

    def add(self, number: int, fingerprint: bytes) -> "UsedNumbers":
        """With `number` (u32) used by the envelope of this 8 B fingerprint."""
        last = self.last + number.to_bytes(4, "big") + fingerprint
        if len(last) < _PAGE_BYTES:
            return UsedNumbers(self.pages, last)
        return UsedNumbers((*self.pages, last))

    def find(self, number: int) -> bytes | None:
        """The 8 B fingerprint of the envelope that used `number`; None if no record is left of it."""
        wanted = number.to_bytes(4, "big")
        for page in (self.last, *reversed(self.pages)):
            for offset in range(0, len(page), RECORD_BYTES):
                if page[offset : offset + 4] == wanted:
                    return page[offset + 4 : offset + RECORD_BYTES]
        return None

    @classmethod
    def from_records(cls, records: bytes) -> "UsedNumbers":
        """Of the records side by side, 12 B each."""
        whole = len(records) - len(records) % _PAGE_BYTES
        pages = tuple(records[at : at + _PAGE_BYTES] for at in range(0, whole, _PAGE_BYTES))
        return cls(pages, records[whole:])

    def newest_pages(self, kept: int) -> "UsedNumbers":
        """With no more than the `kept` newest full pages, and the records after them."""
        if len(self.pages) <= kept:
            return self
        return UsedNumbers(self.pages[len(self.pages) - kept :], self.last)


NONE_USED: Final = UsedNumbers()
