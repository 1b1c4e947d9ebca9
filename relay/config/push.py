"""Push wakeups: which services a device may register at, and where the relay may reach out to."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from .addresses import listed
from .fields import setting
from .push_services import ApnsSettings, FcmSettings


def _contact(value: str) -> str:
    if not value.startswith(("mailto:", "https://")):
        raise ValueError("a contact is mailto:someone@example.org or https://example.org/contact")
    return value


def _host(value: str) -> str:
    try:
        parts = urlsplit(f"//{value}")
        is_host = parts.netloc == value and bool(parts.hostname) and "@" not in value
        is_host &= parts.port is None or parts.port > 0
    except ValueError:
        is_host = False
    if not is_host:
        raise ValueError(f"{value}: write a host or host:port, as in push.lan or 10.0.0.2:8443")
    return value.lower()


Hosts = Annotated[tuple[Annotated[str, AfterValidator(_host)], ...], BeforeValidator(listed)]


class PushSettings(BaseModel):
    """Each service is off until it is switched on here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    web: bool = setting(False, "whether browsers may register by Web Push; needs push.contact")
    unifiedpush: bool = setting(False, "whether devices may register at distributors of UnifiedPush")
    webhook: bool = setting(False, "whether devices may register a URL that gets signed wakeups")
    contact: Annotated[str, AfterValidator(_contact)] | None = setting(
        None, "how push services reach who runs this relay, like mailto:admin@chat.example; they see it"
    )
    jitter_seconds: Annotated[float, Field(ge=0, le=600)] = setting(
        0.0, "a wakeup goes out at a random time within so many seconds; 0: at once"
    )
    concurrency: Annotated[int, Field(ge=1, le=1_000)] = setting(
        64,
        "wakeups on their way at once, of all services; an eighth of that at one host, three at Apple or Google",
    )
    allow_hosts: Hosts = setting(
        (),
        "hosts that may be on this machine or in a private network, and be reached by http: of them alone nothing is checked; "
        "default: public addresses by https, and no other",
    )
    apns: ApnsSettings = setting(ApnsSettings.model_validate({}), "Apple's push service")
    fcm: FcmSettings = setting(FcmSettings.model_validate({}), "Google's push service")
