"""docker-compose.yml: valid, closed to others, and its commands do what they are for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.compose import COMPOSE_FILE, SECRETS, find_variables, load_compose
from tests.support.postgres import Postgres
from tests.support.services import Services

ROOT = COMPOSE_FILE.parent
MLFLOW = "CANARY-mlflow"
STUDY = """
[study]
trials = 4
pruner = "none"
[data]
name = "digits"
validation = 0.2
[train]
epochs = 2
[space]
learning_rate = { low = 1e-3, high = 1e-2, log = true }
[confirm]
top = 1
seeds = 2
"""
IMAGES = re.compile(r"^\s*(?:image: |FROM )(\S+)$", re.MULTILINE)


def test_it_is_valid() -> None:
    """By the schema of the Compose specification."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, COMPOSE_FILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_what_it_asks_for_is_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text()
    variables = dict(re.findall(r"^(#?[A-Z_]+)=(.*)$", example, re.MULTILINE))
    assert {name.removeprefix("#") for name in variables} == find_variables()
    assert all(name.startswith("#") or value == "" for name, value in variables.items())
    assert "/.env" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("missing", SECRETS)
def test_there_is_no_default_password(missing: str) -> None:
    with pytest.raises(KeyError, match=f"{missing}: fill it in"):
        load_compose(**{name: value for name, value in SECRETS.items() if name != missing})


def test_no_secret_shows_but_in_an_environment() -> None:
    services = load_compose(**SECRETS, MLFLOW_ADMIN_PASSWORD=MLFLOW)["services"]
    assert MLFLOW in str(services["mlflow"]["environment"])
    for service in services.values():
        assert "CANARY" not in str({**service, "environment": None})


def test_what_is_published_is_so_here_alone() -> None:
    published = {
        name: port
        for name, service in load_compose(**SECRETS)["services"].items()
        for port in service.get("ports", ())
    }
    assert published.keys() == {"postgres", "mlflow", "optuna-dashboard"}
    assert all(port.startswith("127.0.0.1:") for port in published.values())
    asked = load_compose(**SECRETS, PUBLISH="0.0.0.0")["services"]
    assert asked["mlflow"]["ports"] == ["0.0.0.0:5000:5000"]
    assert asked["optuna-dashboard"]["ports"] == ["127.0.0.1:8080:8080"]


def test_every_version_is_pinned_and_the_one_that_was_tried() -> None:
    text = COMPOSE_FILE.read_text()
    images = IMAGES.findall(text)
    assert len(images) >= 6
    assert all(re.search(r":\d+\.\d+", image) for image in images)
    tried = set((ROOT / "requirements.txt").read_text().splitlines())
    pinned = re.findall(r'"([\w-]+)(?:\[\w+\])?(==[^"]+)"', text)
    assert len(pinned) == 4
    assert {name + version for name, version in pinned} <= tried
    nodes = [load_compose(**SECRETS)["services"][name] for name in ("ray-head", "worker", "study")]
    assert len({node["image"] for node in nodes}) == 1


def test_everything_is_healthy_before_it_is_used() -> None:
    services: dict[str, Any] = load_compose(**SECRETS)["services"]
    for service in services.values():
        for name, wanted in service.get("depends_on", {}).items():
            assert wanted == {"condition": "service_healthy"}
            assert "healthcheck" in services[name]


def test_the_image_has_all_that_the_package_is_made_of() -> None:
    dockerfile = load_compose(**SECRETS)["services"]["worker"]["build"]["dockerfile_inline"]
    copied = re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE)
    files = {name for line in copied for name in line.split()}
    assert {"pyproject.toml", "requirements.txt", "README.md", "harness", "studies"} <= files
    assert all((ROOT / name).exists() for name in files)


@pytest.mark.slow
def test_a_study_through_the_services_own_commands(tmp_path: Path) -> None:
    """Without an engine: as processes, with what stands in for the database's image."""
    (tmp_path / "tiny.toml").write_text(STUDY)
    login = SECRETS["POSTGRES_PASSWORD"]
    with (
        Postgres(login) as postgres,
        Services(tmp_path, postgres, MLFLOW_ADMIN_PASSWORD=MLFLOW) as services,
    ):
        services.start("ray-head")
        services.start("mlflow")
        services.wait_until_healthy("ray-head")
        for _ in range(2):
            services.start("worker")
            services.wait_for_worker()
        services.wait_until_healthy("mlflow")
        study = services.start("study", "./tiny.toml", "--cpu")
        status = study.wait(300)
        log = (tmp_path / "study.log").read_text()
        assert status == 0, log
        denied = services.harness(
            "run-study", "tiny.toml", "--ray", services.ray, RAY_AUTH_TOKEN="x"
        )
        assert denied.returncode == 2
        assert "the cluster requires a token; set RAY_AUTH_MODE" in denied.stderr.splitlines()[-1]
        services.start("optuna-dashboard")
        services.wait_until_healthy("optuna-dashboard")
        address = f"http://127.0.0.1:{services.dashboard}/api/studies"
        with urllib.request.urlopen(address) as answer:
            (listed,) = json.load(answer)["study_summaries"]
        assert listed["study_name"] == "tiny"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"http://127.0.0.1:{services.mlflow}/")
        examined = services.harness("doctor", "tiny")
        assert examined.returncode == 0, examined.stdout + examined.stderr
    assert "tiny: 4 trials on Ray, 4 nodes, CPU, 2 cores" in log
    leaking = [path for path in tmp_path.rglob("*") if path.is_file() and leaks(path.read_bytes())]
    assert leaking == []
    assert not (tmp_path / "mlruns" / "mlflow.db").exists()


def leaks(content: bytes) -> bool:
    return b"CANARY" in content
