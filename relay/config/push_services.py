"""The push services of Apple and Google: who the relay is there, and where they are."""

from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from .addresses import SecretFile, check_origin, is_loopback
from .fields import setting

_IN_THE_CLEAR: Final = "by http all can be read and changed on its way: write https"


def _https_origin(value: str) -> str:
    """APNs speaks HTTP/2, and that over TLS alone."""
    if not check_origin(value).startswith("https://"):
        raise ValueError(_IN_THE_CLEAR)
    return value


def _origin(value: str) -> str:
    """By http on this machine alone, where something stands in for the service, or leads there."""
    parts = urlsplit(check_origin(value))
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ValueError(_IN_THE_CLEAR)
    return value


def _url(value: str) -> str:
    parts = urlsplit(value)
    _origin(f"{parts.scheme}://{parts.netloc}")
    if parts.query or parts.fragment:
        raise ValueError("a URL without ? and #")
    return value


class ApnsSettings(BaseModel):
    """Apple's push service, for the apps of one team. On once there is a key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key_file: SecretFile | None = setting(
        None,
        "the .p8 file of a key for APNs of the app's developers, mode 0600; default: devices cannot register at APNs",
    )
    key_id: Annotated[str, Field(pattern=r"^[A-Z0-9]{10}$")] | None = setting(
        None, "the key's id, 10 characters"
    )
    team_id: Annotated[str, Field(pattern=r"^[A-Z0-9]{10}$")] | None = setting(
        None, "the team's id, 10 characters"
    )
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,255}$")] | None = setting(
        None, "the bundle id of the app that is woken"
    )
    push_type: Literal["alert", "background"] = setting(
        "alert",
        "what Apple takes a wakeup for: something that the app's service extension shows, or background work, which Apple delays",
    )
    url: Annotated[str, AfterValidator(_https_origin)] = setting(
        "https://api.push.apple.com",
        "where APNs is; for builds of developers, https://api.sandbox.push.apple.com",
    )

    @property
    def missing(self) -> tuple[str, ...]:
        """What a key needs beside it."""
        return tuple(name for name in ("key_id", "team_id", "topic") if getattr(self, name) is None)


class FcmSettings(BaseModel):
    """Google's push service, for the apps of one project. On once there is an account."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account_file: SecretFile | None = setting(
        None,
        "the JSON file of a service account that may send messages in the app's project, mode 0600; "
        "default: devices cannot register at FCM",
    )
    url: Annotated[str, AfterValidator(_origin)] = setting("https://fcm.googleapis.com", "where FCM is")
    token_url: Annotated[str, AfterValidator(_url)] = setting(
        "https://oauth2.googleapis.com/token", "where Google gives out access tokens"
    )
