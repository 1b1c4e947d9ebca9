"""What deploy/ offers for containers and Kubernetes, looked at by validators that others wrote."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from relay.config.sources import load_settings
from relay.observe.figures import FIGURES, Kind
from tests.architecture.source import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "container" / "compose.yaml"
KUBERNETES = DEPLOY / "kubernetes" / "tokenim.yaml"
CONTAINERFILE = DEPLOY / "container" / "Containerfile"


def validate(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name(program)), *map(str, arguments)]
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=50)


def test_hadolint_finds_nothing_in_the_containerfile():
    done = validate("hadolint", "--no-color", CONTAINERFILE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_hadolint_would_find_something(tmp_path):
    (tmp_path / "Containerfile").write_text("FROM python\nRUN apt-get install curl\n")
    assert validate("hadolint", "--no-color", tmp_path / "Containerfile").returncode == 1


def test_the_compose_file_fits_its_schema():
    done = validate("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)
    assert done.returncode == 0, done.stdout


def test_the_manifests_fit_the_schemas_of_kubernetes():
    done = validate("kubernetes-validate", "--strict", KUBERNETES)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.findall(r"passed for resource (\w+)/", done.stdout + done.stderr)
    assert passed == ["configmap", "service", "statefulset", "ingress"]


@pytest.mark.parametrize("wrong", ["containerPort: eighty", "containerPort: 8080, protcol: TCP"])
def test_a_wrong_manifest_would_be_found(tmp_path, wrong):
    file = tmp_path / "wrong.yaml"
    text = KUBERNETES.read_text()
    assert "containerPort: 8080, protocol: TCP" in text
    file.write_text(text.replace("containerPort: 8080, protocol: TCP", wrong))
    assert validate("kubernetes-validate", "--strict", file).returncode != 0


def named_in_the_containerfile() -> dict[str, str]:
    """The settings that it gives."""
    return dict(re.findall(r"(TOKENIM_RELAY_\w+)=(\S+)", re.sub(r"#.*", "", CONTAINERFILE.read_text())))


def test_a_relay_knows_the_settings_of_the_container_and_of_compose():
    compose = yaml.safe_load(COMPOSE.read_text())["services"]["relay"]["environment"]
    given = {
        name: re.sub(r"\$\{TOKENIM_NAME:[^}]*\}", "chat.example", value) for name, value in compose.items()
    }
    settings = load_settings(environment={**named_in_the_containerfile(), **given}, file=None)
    assert (str(settings.data), settings.listen) == ("/data", "0.0.0.0:8080")
    assert (settings.origin, settings.plain_http) == ("https://chat.example", True)


def test_a_relay_knows_the_settings_of_the_configmap(tmp_path):
    first = next(iter(yaml.safe_load_all(KUBERNETES.read_text())))
    file = tmp_path / "relay.toml"
    file.write_text(first["data"]["relay.toml"])
    settings = load_settings(environment=named_in_the_containerfile(), file=file)
    assert (settings.origin, settings.plain_http) == ("https://chat.example", True)


def test_nothing_runs_as_root_or_writes_its_root():
    compose = yaml.safe_load(COMPOSE.read_text())["services"]
    stateful = next(
        item for item in yaml.safe_load_all(KUBERNETES.read_text()) if item["kind"] == "StatefulSet"
    )
    pod = stateful["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    user = re.findall(r"^USER (\d+):\d+$", CONTAINERFILE.read_text(), flags=re.MULTILINE)
    assert user == ["10001"]
    assert (compose["relay"]["user"], pod["securityContext"]["runAsUser"]) == ("10001:10001", 10001)
    assert all(service["read_only"] and service["cap_drop"] == ["ALL"] for service in compose.values())
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


RULES = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "tokenim.json"


def told_names() -> set[str]:
    """The names of all samples that a relay can give."""
    names = set()
    for figure in FIGURES.values():
        ends = ("_bucket", "_count", "_sum") if figure.kind is Kind.HISTOGRAM else ("",)
        names |= {f"tokenim_{figure.name}{end}" for end in ends}
    return names


def expressions() -> list[str]:
    """Of alert rules and dashboard."""
    rules = [rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    dashboard = json.loads(DASHBOARD.read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    chosen = [one["query"] for one in dashboard["templating"]["list"]]
    return rules + shown + chosen


def test_alerts_and_dashboard_ask_for_figures_that_there_are():
    asked = {name for expression in expressions() for name in re.findall(r"tokenim_\w+", expression)}
    assert asked - told_names() == set()
    labels = {
        (name, label)
        for expression in expressions()
        for name, inside in re.findall(r"tokenim_(\w+?)(?:_bucket)?{([^}]*)}", expression)
        for label in re.findall(r"(\w+)=", inside)
    }
    assert {label for name, label in labels if label not in ("instance", FIGURES[name].label)} == set()
    by = {
        (label, name)
        for expression in expressions()
        for label, name in re.findall(r"by \((\w+)\) \((?:rate\()?tokenim_(\w+)", expression)
    }
    assert {(label, name) for label, name in by if label != "le" and FIGURES[name].label != label} == set()
    assert len(by) > 4


def test_every_alert_is_tried_and_stands_in_both_documents():
    names = {
        rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    }
    tried = {
        one["alertname"]
        for group in yaml.safe_load((ROOT / "tests/debian/alerts_test.yml").read_text())["tests"]
        for one in group["alert_rule_test"]
        if one["exp_alerts"]
    }
    assert tried == names
    for name in ("operations.md", "operations.zh.md"):
        rows = [line for line in (ROOT / "docs" / name).read_text().splitlines() if line.startswith("| `Tok")]
        assert {word for row in rows for word in re.findall(r"`(Tokenim\w+)`", row.split("|")[1])} == names


def test_the_dashboard_has_a_place_for_each_panel():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
