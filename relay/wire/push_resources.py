"""What travels about push wakeups over HTTP."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from . import limits
from .resources import Answer, Base64Url, Bytes16, Request

PushKind: TypeAlias = Literal["web", "unifiedpush", "apns", "fcm", "webhook"]
PUSH_KEY_BYTES = 65


class PushRequest(Request):
    """PUT /v1/push: where the device is woken. `target` is a URL, or the token of its app at APNs or FCM."""

    kind: PushKind
    target: Annotated[
        str, Field(min_length=1, max_length=limits.MAX_PUSH_TARGET_CHARACTERS, pattern=r"^[!-~]+$")
    ]
    p256dh: Annotated[Base64Url, Field(max_length=PUSH_KEY_BYTES)] = b""
    """Of `web` and `unifiedpush`: the 65 B public key of the subscription."""
    auth: Annotated[Base64Url, Field(max_length=16)] = b""
    """Of `web` and `unifiedpush`: its 16 B secret."""

    @model_validator(mode="after")
    def _keys_fit_the_kind(self) -> "PushRequest":
        expected = (PUSH_KEY_BYTES, 16) if self.kind in ("web", "unifiedpush") else (0, 0)
        if (len(self.p256dh), len(self.auth)) != expected:
            raise ValueError(
                "p256dh (65 B) and auth (16 B) stand with web and unifiedpush, and with those alone"
            )
        if self.kind in ("web", "unifiedpush", "webhook") and not self.target.startswith(
            ("https://", "http://")
        ):
            raise ValueError("target is a URL")
        return self


class PushRegistered(Answer):
    """What each wakeup carries from now on."""

    token: Bytes16
