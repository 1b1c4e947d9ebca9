"""Where settings come from: defaults < TOML file < environment < command line. The only reader of the environment.

`TOKENIM_RELAY_LIMITS__MAILBOX_BYTES` is `limits.mailbox_bytes`. An unknown name is refused together with the nearest known one.
"""

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ValidationError

from .fields import options_of, put
from .permissions import nearest
from .rules import broken_rules
from .settings import RETIRED, Settings

ENVIRONMENT_PREFIX: Final = "TOKENIM_RELAY_"
FILE_NAME: Final = "config.toml"
"""In the data folder: read if no other file is named."""
_NESTED: Final = "__"

_WHOLE: Final = frozenset({"roles"})
"""Settings that are a table themselves: it has one source."""

SourceKind: TypeAlias = Literal["default", "file", "environment", "command line"]


class ConfigInvalid(Exception):
    """The settings cannot be used; the words say which one and what to do. One line."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value comes from; `where` is the file's path or the variable's name."""

    kind: SourceKind
    where: str = ""

    def __str__(self) -> str:
        return (self.where if self.kind == "file" else f"{self.kind} {self.where}").rstrip()


@dataclass(frozen=True, slots=True)
class Loaded:
    """The effective settings, and for each that is not at its default where it was set."""

    settings: Settings
    sources: Mapping[str, Source]

    def source_of(self, name: str) -> Source:
        """Of a setting by its dotted name."""
        return self.sources.get(name, Source("default"))


@dataclass(frozen=True, slots=True)
class _Layer:
    kind: SourceKind
    tree: Mapping[str, Any]
    file: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)  # by dotted name

    def told(self) -> str:
        """How a message calls it."""
        return self.file or self.kind

    def source_of(self, name: str) -> Source:
        """Where this setting of it stands."""
        return Source(self.kind, self.file or self.variables.get(name, ""))


def process_environment() -> Mapping[str, str]:
    """The environment of this process."""
    return os.environ


def variable_of(name: str) -> str:
    """The variable of a setting by its dotted name."""
    return ENVIRONMENT_PREFIX + name.replace(".", _NESTED).upper()


def find_file(environment: Mapping[str, str], data: Path | None) -> Path | None:
    """The file in the data folder that applies if none is named; `data` as on the command line."""
    folder = data or Path(environment.get(variable_of("data"), Settings().data))
    file = folder.expanduser() / FILE_NAME
    try:
        return file if file.exists() else None
    except OSError:
        return None  # whoever opens the folder says what is wrong with it


def load(
    *,
    file: Path | None,
    environment: Mapping[str, str],
    command_line: Mapping[str, Any] | None = None,
    found: bool = False,
) -> Loaded:
    """The effective settings; raises ConfigInvalid with one line for a person.

    None on the command line means: not given. `found`: the file is the one of the data folder, so it cannot move that.
    """
    layers = list(_layers(file, environment, command_line or {}))
    if found and "data" in layers[0].tree:
        raise ConfigInvalid(
            f"{file}: setting `data`: this file was found by its data folder: name that by --data or {variable_of('data')}"
        )
    settings = Settings()
    merged = settings.model_dump()  # so that of a rate, say, one half can be set
    sources: dict[str, Source] = {}
    for layer in layers:
        merged = _merge(merged, layer.tree)
        try:
            settings = Settings(**merged)
        except ValidationError as error:
            raise _explain(error, layer.told()) from error
        sources |= {name: layer.source_of(name) for name in _leaves(layer.tree)}
    loaded = Loaded(settings, sources)
    for name, wrong in broken_rules(settings):
        raise ConfigInvalid(f"{loaded.source_of(name)}: setting `{name}`: {wrong}")
    return loaded


def load_settings(
    *, file: Path | None, environment: Mapping[str, str], command_line: Mapping[str, Any] | None = None
) -> Settings:
    """The effective settings alone; raises ConfigInvalid."""
    return load(file=file, environment=environment, command_line=command_line).settings


def _layers(
    file: Path | None, environment: Mapping[str, str], command_line: Mapping[str, Any]
) -> Iterator[_Layer]:
    if file is not None:
        in_file = _from_file(file)
        _refuse_truth_for_numbers(in_file, str(file))
        yield _Layer("file", in_file, file=str(file))
    variables = _from_environment(environment)
    tree: dict[str, Any] = {}
    for name, variable in variables.items():
        put(tree, name, environment[variable])
    yield _Layer("environment", tree, variables=variables)
    yield _Layer("command line", {name: value for name, value in command_line.items() if value is not None})


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigInvalid(f"{path}: there is no such file: correct --config") from None
    except OSError as error:
        raise ConfigInvalid(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{path}: not TOML: {error}") from error


def _refuse_truth_for_numbers(tree: Mapping[str, Any], told: str) -> None:
    """Python's True is a 1, and would be taken for one."""
    defaults = {option.name: option.value for option in options_of(Settings())}
    for name in _leaves(tree):
        *above, last = name.split(".")
        value = reduce(lambda table, part: table[part], above, tree).get(last)
        if isinstance(value, bool) and type(defaults.get(name)) in (int, float):
            raise ConfigInvalid(f"{told}: setting `{name}`: a number is wanted, not {str(value).lower()}")


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of the settings that are in the environment, by dotted name."""
    known = {variable_of(option.name): option.name for option in options_of(Settings())}
    retired = {variable_of(name): name for name in RETIRED}
    found: dict[str, str] = {}
    for variable in sorted(environment):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        if variable in retired:
            raise ConfigInvalid(f"environment: {_retired(variable, retired[variable])}")
        if variable not in known:
            meant = _nearest(variable, known, prefix=ENVIRONMENT_PREFIX)
            raise ConfigInvalid(f"environment: there is no setting `{variable}`{meant}")
        found[known[variable]] = variable
    return found


def _names() -> list[str]:
    """All that can stand in a file: settings and their tables."""
    names = [option.name for option in options_of(Settings())]
    return [*names, *dict.fromkeys(name.rpartition(".")[0] for name in names if "." in name)]


def _nearest(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    return nearest(name, known, prefix=prefix) or "; `tokenim-relay config show` prints all there are"


def _retired(name: str, setting: str) -> str:
    return f"there is no setting `{name}` any more: {RETIRED[setting]}"


def _explain(error: ValidationError, told: str) -> ConfigInvalid:
    rows = error.errors(include_url=False, include_input=False)
    first = next((row for row in rows if row["type"] == "extra_forbidden"), rows[0])
    name = ".".join(str(part) for part in first["loc"])
    if name in RETIRED:
        return ConfigInvalid(f"{told}: {_retired(name, name)}")
    if first["type"] == "extra_forbidden":
        return ConfigInvalid(f"{told}: there is no setting `{name}`{_nearest(name, _names())}")
    return ConfigInvalid(f"{told}: setting `{name}`: {first['msg'].removeprefix('Value error, ')}")


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        inner = merged.get(name)
        merged[name] = (
            _merge(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
        )
    return merged


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, Mapping) and prefix + name not in _WHOLE:
            yield from _leaves(value, f"{prefix}{name}.")
        elif isinstance(value, BaseModel):
            yield from (option.name for option in options_of(value, f"{prefix}{name}."))
        else:
            yield prefix + name
