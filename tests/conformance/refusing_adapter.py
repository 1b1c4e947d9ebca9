"""Our client but for what a hostile case has it write: that it refuses without asking the relay for anything."""

from client.conformance_adapter import Adapter
from client.conformance_adapter import main as serve

_send = Adapter.send


async def _send_or_not(self: Adapter, to: str, text: str | None = None, file: str | None = None) -> None:
    if text == "secret":
        raise RuntimeError("I will not")
    await _send(self, to, text, file)


def main() -> None:
    Adapter.send = _send_or_not
    serve()
