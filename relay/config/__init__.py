"""The relay's settings: models with their defaults, the sources they are read from, and what is told of them."""

from .addresses import Network, Networks, SecretFile, is_loopback, split_listen
from .changes import Changes, Current, changes_between
from .cluster import NatsSettings, PostgresSettings, S3Settings
from .documents import commented_file, plain, table_of, toml
from .fields import Option, options_of
from .limits import LimitSettings, Rate, RateSettings, ShedSettings
from .push import PushSettings
from .push_services import ApnsSettings, FcmSettings
from .settings import Settings
from .sources import (
    FILE_NAME,
    ConfigInvalid,
    Loaded,
    Source,
    find_file,
    load,
    load_settings,
    process_environment,
    variable_of,
)

__all__ = [
    "FILE_NAME",
    "ApnsSettings",
    "Changes",
    "ConfigInvalid",
    "Current",
    "FcmSettings",
    "LimitSettings",
    "Loaded",
    "NatsSettings",
    "Network",
    "Networks",
    "Option",
    "PostgresSettings",
    "PushSettings",
    "Rate",
    "RateSettings",
    "S3Settings",
    "SecretFile",
    "Settings",
    "ShedSettings",
    "Source",
    "changes_between",
    "commented_file",
    "find_file",
    "is_loopback",
    "load",
    "load_settings",
    "options_of",
    "plain",
    "process_environment",
    "split_listen",
    "table_of",
    "toml",
    "variable_of",
]
