"""Settings that come into effect while the relay runs: which service hears of them. What it does then is its own business."""

from relay.config import Settings
from relay.ports.mailboxes import Quotas
from relay.wire import limits

from .services import Services


def quotas_of(settings: Settings) -> Quotas:
    """The mailboxes' quotas."""
    return Quotas(
        envelopes=settings.limits.mailbox_envelopes,
        bytes=settings.limits.mailbox_bytes,
        nearly_full_percent=limits.MAILBOX_NEARLY_FULL_PERCENT,
    )


def digest_of(settings: Settings) -> bytes:
    """32 B: by which clients see that limits have changed."""
    return limits.limits_digest(settings.limits.advertised())


def apply(services: Services, settings: Settings) -> None:
    """From now on these settings, as far as they are not of those that wait for a restart. Clients hear of other limits."""
    services.current.settings = settings
    services.log.set_level(settings.log_level)
    services.identity.change(settings)
    services.roles.change(settings.roles)
    services.connections.end_without_rights()
    services.rates.change(settings.rates)
    services.mailboxes.change(settings.limits, settings.rates.token)
    services.store.mailboxes.change_quotas(quotas_of(settings))
    services.blobs.change(settings.limits)
    services.logs.change(settings.limits)
    services.connections.caps.change(settings.limits)
    services.load.change(settings.shed)
    services.connections.tell_limits(digest_of(settings))
