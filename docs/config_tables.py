"""The tables of the relay's settings, for docs/generate.py."""

from itertools import groupby

from docs.markdown import remarks_in, table
from relay.config import Option, Settings, options_of, table_of, toml, variable_of
from relay.observe.figures import FIGURES
from relay.services.retention import KEPT
from relay.services.roles import PERMISSIONS, SUSPENDED, Operation, Role
from relay.wire import limits


def settings_table() -> str:
    """Every setting, a table for each table of the file; the top level first."""
    options = sorted(options_of(Settings()), key=lambda option: bool(table_of(option)))
    groups = groupby(options, key=lambda option: table_of(option).partition(".")[0])
    return "\n".join(_group(name, list(group)) for name, group in groups)


def _group(name: str, options: list[Option]) -> str:
    heading = f"**`[{name}]`**\n\n" if name else ""
    rows = [
        [
            f"`{option.name}`",
            "–" if option.value is None else f"`{toml(option.value)}`",
            option.allowed or "–",
            "SIGHUP" if option.reload else "restart",
            option.description,
        ]
        for option in options
    ]
    return heading + table(["setting", "default", "takes", "a change needs", ""], rows)


def relay_limits_table() -> str:
    """Every limit that `/.well-known/tokenim` advertises, in one table, as a relay without settings has it."""
    remarks = remarks_in(limits)
    rows = (
        [f"`{name}`", f"{value:,}", remarks.get(name.upper(), "")]
        for name, value in Settings().limits.advertised().items()
    )
    return table(["limit", "value", ""], rows)


def variables_table() -> str:
    """How a setting is called in the environment, by example."""
    names = ("listen", "limits.mailbox_bytes", "rates.device.per_second", "proxy.trusted")
    rows = [[f"`{name}`", f"`{variable_of(name)}`"] for name in names]
    return table(["setting", "variable"], rows)


def figures_table() -> str:
    """Every figure of `/metrics`."""
    rows = [
        [f"`tokenim_{figure.name}`", figure.kind, f"`{figure.label}`" if figure.label else "–", figure.help]
        for figure in FIGURES.values()
    ]
    return table(["figure", "kind", "label", ""], rows)


def retention_table() -> str:
    """What is kept how long, and what a hold keeps longer."""
    rows = [
        [
            f"`{kept.kind}`",
            kept.told,
            f"`{kept.setting}`" if kept.setting else (f"{kept.seconds:,} seconds" if kept.seconds else "–"),
            "yes" if kept.held else "–",
        ]
        for kept in KEPT
    ]
    return table(["kind", "", "how long", "held"], rows)


def account_roles_table() -> str:
    """What each role of an account may do, and what is left to one that is suspended."""
    rows = [
        [
            f"`{operation}`",
            *("yes" if operation in PERMISSIONS[role] else "–" for role in Role),
            "yes" if operation in SUSPENDED else "–",
        ]
        for operation in Operation
    ]
    return table(["", *Role, "suspended"], rows)
