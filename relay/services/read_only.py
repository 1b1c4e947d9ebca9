"""What goes on while the store is read-only: reads, without what they would have noted."""

from types import TracebackType

from relay.wire.errors import Unavailable


def is_read_only(error: BaseException | None) -> bool:
    """Whether this is what a store says that is read-only for a known while."""
    return isinstance(error, Unavailable) and error.read_only


class NotedUnlessReadOnly:
    """What the block would write is left out while the store is read-only: it is written another time, or not missed."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> bool:
        """Take that one refusal, and no other."""
        return is_read_only(error)
