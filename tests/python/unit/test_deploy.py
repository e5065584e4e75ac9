"""The files for operators say what the worker knows: options, ports, paths, times.

What the machine has for it checks them as well: systemd its unit, Docker the container file.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from python_worker import server
from python_worker.command_line import parse
from python_worker.install import environment
from python_worker.install.__main__ import STEPS
from python_worker.rpc.grpc_service import SERVICE
from python_worker.settings import Settings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
GUIDE = ROOT / "elixir" / "guides" / "operations.md"

TOKENS = {"VLLM_BRIDGE_TOKEN": "x", "VLLM_BRIDGE_METRICS_TOKEN": "y"}

# --- The container


def instructions() -> list[tuple[str, str]]:
    """Of the container file, each with its arguments in one line."""
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    lines = [it for it in text.splitlines() if it and not it.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(name, rest) for name, _, rest in (it.partition(" ") for it in joined.splitlines())]


def image_environment() -> dict[str, str]:
    """The variables that a container begins with."""
    pairs = [
        it.split("=", 1) for name, rest in instructions() if name == "ENV" for it in rest.split()
    ]
    return dict(pairs)


def container(*arguments: str, **environ: str) -> Settings:
    return parse(arguments, {**image_environment(), **TOKENS, **environ})


def test_the_container_serves_at_the_ports_that_it_exposes() -> None:
    settings = container()
    addresses = [*settings.listen, *settings.grpc_listen, *settings.metrics_listen]
    (exposed,) = [rest for name, rest in instructions() if name == "EXPOSE"]
    assert [it.rpartition(":")[2] for it in addresses] == exposed.split()
    assert all(it.startswith("tcp:0.0.0.0:") for it in addresses)


def test_the_container_copies_what_is_there_and_runs_what_is_installed() -> None:
    for sources in (rest.split()[:-1] for name, rest in instructions() if name == "COPY"):
        assert all((ROOT / it).exists() for it in sources)
    (entry,) = [rest for name, rest in instructions() if name == "ENTRYPOINT"]
    command = yaml.safe_load(entry)
    assert command[1:] == ["-m", "python_worker"], "without a shell: it is process 1"
    # Where the set-up makes its link; see ``environment``.
    (home,) = re.findall(r"ENV XDG_CACHE_HOME=(/opt/\S+)", (DEPLOY / "Containerfile").read_text())
    assert command[0] == f"{home}/vllm_bridge/venv/bin/python"
    assert environment.cache_dir().name == "vllm_bridge"


@pytest.mark.parametrize("extra", ["cpu", "cuda"])
def test_the_container_is_for_every_extra(extra: str) -> None:
    (run,) = [rest for name, rest in instructions() if "python_worker.install" in rest]
    installed = run.partition("python -m python_worker.install ")[2].partition("&&")[0].split()
    assert installed == ["python", "--extra", "${EXTRA}"]
    assert installed[0] in {step.name for step in STEPS}
    wanted = environment.read_wanted(ROOT / "pyproject.toml", extra=extra, dev=False)
    assert wanted.extra == extra
    assert f"EXTRA={extra}" in (DEPLOY / "Containerfile").read_text(encoding="utf-8")


# --- Kubernetes


def documents() -> dict[str, Any]:
    """The objects, by their kinds."""
    text = (DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")
    return {it["kind"]: it for it in yaml.safe_load_all(text)}


def pod() -> Any:
    return documents()["Deployment"]["spec"]["template"]["spec"]


def seconds_of_pre_stop() -> int:
    command, seconds = pod()["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    return int(seconds)


def test_the_pod_may_take_as_long_to_end_as_the_worker_may() -> None:
    (worker,) = pod()["containers"]
    variables = {it["name"]: it.get("value", "secret") for it in worker["env"]}
    settings = container(*worker["args"], **variables)
    needed = seconds_of_pre_stop() + settings.grace + server.SHUTDOWN_SECONDS
    assert needed < pod()["terminationGracePeriodSeconds"] <= needed + 10


def test_the_probes_ask_for_services_that_health_knows() -> None:
    (worker,) = pod()["containers"]
    port = int(container().grpc_listen[0].rpartition(":")[2])
    probes = {name: worker[f"{name}Probe"]["grpc"] for name in ("startup", "liveness", "readiness")}
    assert {it["port"] for it in probes.values()} == {port}
    assert probes["startup"]["service"] == probes["liveness"]["service"] == SERVICE
    assert "service" not in probes["readiness"], "the whole: an engine that is dead is not ready"


def test_ports_labels_and_secrets_belong_together() -> None:
    found = documents()
    (worker,) = pod()["containers"]
    ports = {it["name"]: it["containerPort"] for it in worker["ports"]}
    assert {it["targetPort"]: it["port"] for it in found["Service"]["spec"]["ports"]} == ports
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["Service"]["spec"]["selector"] == labels
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    keys = {it["valueFrom"]["secretKeyRef"]["key"] for it in worker["env"] if "valueFrom" in it}
    assert keys == set(found["Secret"]["stringData"])
    mounts = {it["name"] for it in worker["volumeMounts"]}
    assert mounts == {it["name"] for it in pod()["volumes"]}


# --- systemd


def unit() -> dict[str, str]:
    """The settings of the unit; each is there once."""
    lines = (DEPLOY / "vllm-bridge-worker.service").read_text(encoding="utf-8").splitlines()
    pairs = [it.partition("=") for it in lines if "=" in it and not it.startswith("#")]
    assert len({name for name, _, _ in pairs}) == len(pairs)
    return {name: value for name, _, value in pairs}


def test_the_unit_starts_a_worker_that_notifies() -> None:
    found = unit()
    assert (found["Type"], int(found["WatchdogSec"]) > 0) == ("notify", True)
    command = found["ExecStart"].split()
    assert command[1:3] == ["-m", "python_worker"]
    # With the file of settings that stands beside it.
    assert command[3] == "--config"
    settings = parse(["--config", str(DEPLOY / Path(command[4]).name)], {})
    runtime = f"unix:/run/{found['RuntimeDirectory']}/"
    assert all(it.startswith(runtime) for it in (*settings.listen, *settings.metrics_listen))
    assert int(found["TimeoutStopSec"]) > settings.grace + server.SHUTDOWN_SECONDS
    assert found["KillMode"] == "mixed", "SIGTERM would reach EngineCore, too"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "vllm-bridge-worker.service").read_text(encoding="utf-8")
    # It looks whether the program is there.
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/sh", text, flags=re.MULTILINE)
    path = tmp_path / "worker.service"
    path.write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    said = [it for it in ended.stderr.splitlines() if str(path) in it or "worker.service" in it]
    assert said == []


# --- The guide


def test_the_guide_names_every_file_and_every_setting() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    assert [it.name for it in DEPLOY.iterdir() if f"deploy/{it.name}" not in text] == []
    options = {"metrics_listen", "otlp_endpoint", "log_format", "config"}
    assert [it for it in options if f"--{it.replace('_', '-')}" not in text] == []
