"""What the scripted relay answers where it says no."""


class Refusal(Exception):
    """A problem document (RFC 9457)."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.code, self.status = code, status
