"""Who knocks is believed only if the relay signed it, for this registration, not long ago."""

import pytest
from nacl.signing import SigningKey

from client.wakeups import MAX_AGE_MS, WebhookCheck
from relay.wire.transcripts import webhook_transcript

RELAY = SigningKey(bytes(32))
ORIGIN, TARGET, TOKEN, NOW_MS = "https://chat.example", "https://me.example/x", bytes(range(16)), 10**12


def signed(**changed: object) -> bytes:
    fields = {"origin": ORIGIN, "target": TARGET, "time_ms": NOW_MS, "token": TOKEN, **changed}
    return RELAY.sign(webhook_transcript(**fields)).signature  # type: ignore[arg-type]


CHECK = WebhookCheck(ORIGIN, bytes(RELAY.verify_key), TARGET, TOKEN)


def test_what_the_relay_signed_is_a_wakeup() -> None:
    assert CHECK.is_wakeup(TOKEN, NOW_MS, signed(), now_ms=NOW_MS + MAX_AGE_MS)


@pytest.mark.parametrize(
    ("body", "signature", "now_ms"),
    [
        (bytes(16), signed(token=bytes(16)), NOW_MS),  # of another registration
        (b"", signed(token=b""), NOW_MS),
        (TOKEN, signed(target="https://other.example/"), NOW_MS),
        (TOKEN, signed(origin="https://other.example"), NOW_MS),
        (TOKEN, signed(time_ms=NOW_MS + 1), NOW_MS),
        (TOKEN, signed(), NOW_MS + MAX_AGE_MS + 1),
        (TOKEN, signed(), NOW_MS - MAX_AGE_MS - 1),
        (TOKEN, bytes(64), NOW_MS),
        (TOKEN, b"", NOW_MS),
    ],
)
def test_anything_else_is_none(body: bytes, signature: bytes, now_ms: int) -> None:
    assert not CHECK.is_wakeup(body, NOW_MS, signature, now_ms=now_ms)
