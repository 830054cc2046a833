"""The documents and examples of the container name the container that they start.

`tests/docs` checks the command lines in them.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_FILES = (ROOT / "docker-compose.yml", ROOT / "docs" / "docker.md")
FILES = (
    *COMPOSE_FILES,
    *sorted((ROOT / "examples").rglob("*.service")),
    *(ROOT / "docs" / name for name in ("external-database.md", "scheduling.md")),
)
# In most of Aperture's compose files, the container of PostgreSQL.
DATABASE_CONTAINER = "aperture-db"


def test_docker_exec_names_a_container_that_is_called_so() -> None:
    """Compose calls it `project-service-1` where nothing else is said."""
    called = {
        name
        for path in COMPOSE_FILES
        for name in re.findall(r"^ +container_name: ([\w-]+)", path.read_text(), re.MULTILINE)
    }
    used = {
        name
        for path in FILES
        for name in re.findall(r"docker exec (?:-it )?([a-z][\w-]*) aperture-db ", path.read_text())
    }
    assert used == called | {"aperture"}
    assert DATABASE_CONTAINER not in called


def test_the_service_shares_no_host_name_with_aperture_s_database() -> None:
    """A service's name is a host name in its network, and so is a container's."""
    for path in COMPOSE_FILES:
        services = re.findall(r"^  ([\w-]+):$", path.read_text(), re.MULTILINE)
        assert services
        assert DATABASE_CONTAINER not in services


def test_apertures_image_follows_apertures_own_migrations() -> None:
    stages = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    (stage,) = (each for each in stages if each.split("\n")[0].endswith(" AS aperture"))
    assert re.search(r"^ENV APERTURE_MIGRATIONS_DIR=/app/db/migrations$", stage, re.MULTILINE)
