"""docker-compose.yml, Dockerfile and Procfile: the same processes, each with no more rights than it needs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from django.urls import reverse

from config import env
from deploy.stack import read_procfile
from immune.queues import NAMES
from tests.environment import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROCFILE = {line.name: line.command for line in read_procfile((ROOT / "deploy" / "Procfile").read_text())}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVERS = {"postgres", "rabbitmq", "redis"}
PROCESSES = sorted(set(SERVICES) - SERVERS - {"front"})


def in_a_container(command: str) -> str:
    """A command as a container's shell would see it: with the image's environment and that of the service."""
    image = dict(re.findall(r"^\s+(?:ENV )?([A-Z_]+)=([^\s\\]+)", DOCKERFILE, re.MULTILINE))
    service = {name: value for name, value in SERVICES["worker-default"]["environment"].items() if "$" not in value}
    escaped = re.sub(r"([&|;<>()])", r"\\\1", command)
    return subprocess.run(
        ["/bin/sh", "-c", f"echo {escaped}"], env={**image, **service}, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_containers_and_stack_run_the_same_processes() -> None:
    assert {*SERVICES} - SERVERS == {*PROCFILE, "migrate"} - {"release"}


@pytest.mark.parametrize("name", [name for name in PROCFILE if name not in ("release", "front")])
def test_a_process_has_the_same_command_in_a_container_and_without(name: str) -> None:
    assert in_a_container(SERVICES[name]["command"]) == in_a_container(PROCFILE[name])


def test_tables_and_queues_are_made_before_anything_starts() -> None:
    assert SERVICES["migrate"]["command"] == ["/bin/sh", "-c", PROCFILE["release"]]
    assert re.findall(r"manage.py (\w+)", PROCFILE["release"]) == ["migrate", "setup_queues"]
    for name in set(PROCESSES) - {"migrate"}:
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}, name


def test_each_queue_has_exactly_one_group_of_workers() -> None:
    queues = [queue for command in PROCFILE.values() for queue in "".join(re.findall(r" -Q (\S+)", command)).split(",")]
    assert sorted(filter(None, queues)) == sorted(NAMES)


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_has_no_rights_beyond_its_own_folder(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["read_only"] is True
    assert not service.get("privileged")
    assert not service.get("ports")
    assert service["volumes"] == ["work:/var/lib/immune"]


def test_only_the_wargames_may_make_namespaces() -> None:
    lifted = {
        name for name in SERVICES if any("unconfined" in option for option in SERVICES[name].get("security_opt", []))
    }
    assert lifted == {"worker-wargame"}


def test_only_the_front_is_reached_from_outside_and_by_default_from_this_machine_only() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"front": ["${HOST:-127.0.0.1}:${PORT:-8003}:8003"]}


def test_what_services_refer_to_is_there() -> None:
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", [])) <= set(SERVICES), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).is_file() if source.startswith("./") else source in COMPOSE["volumes"], volume


def test_every_setting_given_to_a_process_is_one_it_knows() -> None:
    for name in PROCESSES:
        assert set(SERVICES[name]["environment"]) - {"PROMETHEUS_MULTIPROC_DIR"} <= set(env.VARIABLES), name


def test_no_secret_has_a_default_and_a_missing_one_stops_the_start() -> None:
    written = (ROOT / "docker-compose.yml").read_text()
    for name in ("POSTGRES_PASSWORD", "RABBITMQ_PASSWORD"):
        uses = re.findall(rf"\$\{{?{name}[^}}]*\}}?", written)
        assert uses
        assert set(uses) == {f"${{{name}:?set it in .env}}"}


def test_every_server_is_waited_for_until_it_is_healthy() -> None:
    for name in SERVERS:
        assert SERVICES[name]["healthcheck"]["test"], name
        assert SERVICES["web"]["depends_on"][name] == {"condition": "service_healthy"}


def test_the_image_is_built_in_stages_runs_as_nobody_special_and_has_the_sandbox() -> None:
    assert DOCKERFILE.count("\nFROM ") == 2
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"apt-get install .*\bbubblewrap\b", final)
    assert re.findall(r"^USER (\S+)", final, re.MULTILINE) == ["immune"]
    assert "HEALTHCHECK" in final
    # nothing of the developer's machine, and no secret, goes into the image
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".env", ".git", ".venv", "var"} <= set(ignored)


def test_the_compose_client_accepts_the_file_where_there_is_one(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no `docker compose` client on this machine; the tests above read the file without it")
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    names = re.findall(r"^([A-Z_]+)=$", (ROOT / "deploy" / "compose" / ".env.example").read_text(), re.MULTILINE)
    (tmp_path / ".env").write_text("".join(f"{name}=given\n" for name in names))
    done = subprocess.run(
        [docker, "compose", "config", "-q"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_front_lets_files_through_where_files_are_sent_and_nowhere_else() -> None:
    front = (ROOT / "deploy" / "nginx" / "immune.conf").read_text()
    [large] = re.findall(r"location ~ (\S+) \{\n\s+client_max_body_size 260m;", front)
    row = (str(UUID(int=1)),)
    sent = [reverse(f"admin:immune_job_{name}") for name in ("scan", "advisories")]
    sent += [reverse("admin:immune_repository_report", args=row), f"/hitl/repositories/{row[0]}/reports"]
    sent += ["/hitl/jobs/scan", "/hitl/jobs/advisories"]
    assert [address for address in sent if not re.search(large, address)] == []
    for address in ("/hitl/jobs/export", "/hitl/decisions/", "/hitl/reports/", reverse("admin:immune_job_export")):
        assert not re.search(large, address)
