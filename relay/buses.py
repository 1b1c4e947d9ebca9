"""The bus of the settings: in one process, between the nodes of a relay, or deaf where those have none between them."""

from contextlib import AbstractAsyncContextManager

from relay.adapters.data_folder import StartRefused, secret_line, trust_of
from relay.adapters.memory_bus import open_deaf_bus, open_memory_bus
from relay.config import NatsSettings, Settings
from relay.observe.figures import Figures
from relay.ports.bus import Bus
from relay.ports.clock import Clock, Randomness


def open_bus(
    settings: Settings, clock: Clock, randomness: Randomness, figures: Figures
) -> AbstractAsyncContextManager[Bus]:
    """What becomes of announcements is counted in `figures`. Raises StartRefused."""
    if not settings.is_cluster:
        return open_memory_bus()
    if not settings.nats.servers:
        return open_deaf_bus(clock)
    return _nats(settings.nats, clock, randomness, figures)


def _nats(
    settings: NatsSettings, clock: Clock, randomness: Randomness, figures: Figures
) -> AbstractAsyncContextManager[Bus]:
    try:
        from relay.adapters.nats_bus import NatsOptions, open_nats_bus  # noqa: PLC0415  (an extra)
    except ModuleNotFoundError as error:
        raise StartRefused(
            f"nats.servers: {error.name} is not installed: install the extra, as in `pip install 'tokenim[cluster]'`"
        ) from error
    options = NatsOptions(
        settings.servers,
        settings.subject,
        user=settings.user,
        password=secret_line(settings.password_file),
        token=secret_line(settings.token_file),
        credentials=settings.credentials_file and settings.credentials_file.expanduser().absolute(),
        tls=trust_of(settings.ca),
    )
    return open_nats_bus(options, clock, randomness, figures)
