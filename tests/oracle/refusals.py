"""What the oracle says no with, and which kind of failure that is, as tests/vectors/README.md names them."""

from collections.abc import Callable


class Refused(Exception):
    """It does not open, verify or stand; whatever there was before is as it was."""

    def __init__(self, why: str = "", kind: str = "InvalidEncoding") -> None:
        super().__init__(why)
        self.kind = kind


class Waiting(Exception):
    """Something has to come before anybody can say: a secret, a chain, a manifest."""

    def __init__(self, why: str = "", kind: str = "ChainMissing") -> None:
        super().__init__(why)
        self.kind = kind


def require(holds: object, why: str = "", kind: str = "InvalidEncoding") -> None:
    if not holds:
        raise Refused(why, kind)


def failure_of(call: Callable[..., object], *given: object) -> str | None:
    """The kind of failure that a call ends with, None if it ends well."""
    try:
        call(*given)
    except (Refused, Waiting) as refused:
        return refused.kind
    return None
