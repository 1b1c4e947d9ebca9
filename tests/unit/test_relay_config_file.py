"""What is told of settings: the file to begin with, where each value was set, and the file that is found by itself."""

import re
import tomllib
from pathlib import Path

import pytest

from relay.config import (
    ConfigInvalid,
    Settings,
    Source,
    commented_file,
    find_file,
    load,
    options_of,
    toml,
    variable_of,
)


def test_the_file_to_begin_with_changes_nothing_and_has_every_setting(tmp_path: Path):
    file = tmp_path / "relay.toml"
    file.write_text(commented_file())
    begun = load(file=file, environment={})
    assert begun.settings == Settings()
    assert begun.sources == {}

    file.write_text(re.sub(r"^#(?=[a-z_]+ = )", "", commented_file(), flags=re.MULTILINE))
    whole = load(file=file, environment={})
    # What has no default stands there as an example, and is the only difference.
    defaults = {option.name: option.value for option in options_of(Settings())}
    written = {option.name: option.value for option in options_of(whole.settings)}
    assert written.keys() == defaults.keys()
    assert {name: value for name, value in written.items() if defaults[name] is not None} == {
        name: value for name, value in defaults.items() if value is not None
    }
    assert whole.sources.keys() == {option.name for option in options_of(Settings())}
    assert max(len(line) for line in commented_file().splitlines()) < 130


def test_where_each_value_was_set_is_known(tmp_path: Path):
    file = tmp_path / "relay.toml"
    file.write_text('log_level = "error"\n[limits]\nmailbox_envelopes = 5\nblob_ttl_seconds = 60\n')
    environment = {"TOKENIM_RELAY_LIMITS__BLOB_TTL_SECONDS": "61", "TOKENIM_RELAY_LISTEN": "127.0.0.1:2"}
    found = load(file=file, environment=environment, command_line={"listen": "127.0.0.1:3", "data": None})
    assert found.source_of("log_level") == Source("file", str(file))
    assert found.source_of("limits.mailbox_envelopes") == Source("file", str(file))
    assert found.source_of("limits.blob_ttl_seconds") == Source(
        "environment", "TOKENIM_RELAY_LIMITS__BLOB_TTL_SECONDS"
    )
    assert found.source_of("listen") == Source("command line")
    assert found.source_of("data") == found.source_of("rates.device.burst") == Source("default")


def test_the_file_of_the_data_folder_is_found_and_cannot_move_it(tmp_path: Path):
    environment = {variable_of("data"): str(tmp_path)}
    assert find_file(environment, None) is None
    file = tmp_path / "config.toml"
    file.write_text('log_level = "error"\n')
    assert find_file(environment, None) == find_file({}, tmp_path) == file
    assert find_file(environment, tmp_path / "another") is None
    assert (
        find_file({}, tmp_path / ("long" * 100)) is None
    )  # no name of a file: told by whoever opens the folder
    assert load(file=file, environment=environment, found=True).settings.log_level == "error"

    file.write_text('data = "/elsewhere"\n')
    with pytest.raises(ConfigInvalid, match="name that by --data or TOKENIM_RELAY_DATA"):
        load(file=file, environment=environment, found=True)


def test_values_are_told_as_toml_has_them():
    values = (True, 3, 0.1, 'a "quoted" \\ path', "é", ("a", "b"), ())
    for value in values:
        read = tomllib.loads(f"value = {toml(value)}")["value"]
        assert (tuple(read) if isinstance(value, tuple) else read) == value
    for option in options_of(Settings()):
        if option.value is not None:
            tomllib.loads(f"value = {toml(option.value)}")
