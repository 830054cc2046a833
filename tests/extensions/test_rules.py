"""The rules behind the states: versions, places, and who may do what. No server is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from aperture_db.extensions.check import with_changes
from aperture_db.extensions.collect import InstalledRow, advise, judge
from aperture_db.extensions.report import (
    REQUIREMENTS,
    ExtensionChange,
    ExtensionsReport,
    ExtensionState,
    ServerAccess,
    is_older,
)
from aperture_db.postgres import (
    AZURE,
    CLOUD_SQL,
    DEBIAN,
    DIGITALOCEAN,
    DOCKER,
    DOCKER_ALPINE,
    MANAGED,
    NEON,
    PGVECTOR_RELEASE,
    RDS,
    RED_HAT,
    SOURCE,
    SUPABASE,
    Platform,
    recognize,
)

CREATE_VECTOR = "CREATE EXTENSION IF NOT EXISTS vector"
VECTOR = REQUIREMENTS[0]
PGDG = "PostgreSQL 16.4 (Debian 16.4-1.pgdg120+2) on x86_64-pc-linux-gnu, compiled by gcc"


def server(
    place: Platform = DOCKER, *, superuser: bool = True, admin: bool = False
) -> ServerAccess:
    return ServerAccess(
        version="16.4",
        version_number=160004,
        place=place,
        database="aperture",
        role="aperture",
        is_superuser=superuser,
        is_standby=False,
        may_create_in_database=True,
        has_admin_role=admin,
    )


def vector(installed: str | None, available: str | None, *, owned: bool = True) -> InstalledRow:
    return InstalledRow(
        name="vector",
        installed_version=installed,
        available_version=available,
        schema="public" if installed else None,
        is_on_search_path=True,
        is_owned=owned,
        needs_superuser=True,
        is_trusted=False,
    )


def test_versions_compare_by_number() -> None:
    assert is_older("0.8.9", "0.8.10")
    assert is_older("0.7", "0.7.0")
    assert not is_older("1.0", "0.8.4")


@pytest.mark.parametrize(
    ("installed", "available", "state", "needs_files", "statement"),
    [
        ("0.8.5", "0.8.5", ExtensionState.OK, False, None),
        ("0.8.4", "0.8.5", ExtensionState.OK, False, "ALTER EXTENSION vector UPDATE"),
        ("0.8.0", "0.8.5", ExtensionState.OUTDATED, False, "ALTER EXTENSION vector UPDATE"),
        ("0.8.3", "0.8.3", ExtensionState.OUTDATED, True, None),
        ("0.7.0", "0.7.0", ExtensionState.OUTDATED, True, None),
        ("0.7.0", "0.8.1", ExtensionState.OUTDATED, True, "ALTER EXTENSION vector UPDATE"),
        ("0.6.2", "0.6.2", ExtensionState.TOO_OLD, True, None),
        ("0.6.2", "0.8.5", ExtensionState.TOO_OLD, False, "ALTER EXTENSION vector UPDATE"),
        (None, "0.6.2", ExtensionState.TOO_OLD, True, None),
        (None, "0.8.5", ExtensionState.NOT_INSTALLED, False, CREATE_VECTOR),
        (None, None, ExtensionState.UNAVAILABLE, True, None),
        ("0.8.5", None, ExtensionState.UNAVAILABLE, True, None),
    ],
)  # fmt: skip
def test_versions_decide_the_state(
    installed: str | None,
    available: str | None,
    state: ExtensionState,
    needs_files: bool,
    statement: str | None,
) -> None:
    extension = judge(vector(installed, available), VECTOR, server())
    assert extension.state is state
    assert extension.needs_files is needs_files
    assert extension.statement == statement
    assert bool(extension.reason) is (state is not ExtensionState.OK)


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("0.8.1", ["CVE-2026-3172", "corrupt", "repair"]),
        ("0.8.2", ["corrupt", "repair"]),
        ("0.8.3", ["repair"]),
    ],
)
def test_the_faults_of_an_outdated_version_are_told(version: str, told: list[str]) -> None:
    reason = judge(vector(version, version), VECTOR, server()).reason
    for word in ("CVE-2026-3172", "corrupt", "repair"):
        assert (word in reason) is (word in told)


def test_an_update_asks_for_the_owner_of_the_extension() -> None:
    role = server(superuser=False)
    assert not judge(vector("0.6.2", "0.8.5", owned=True), VECTOR, role).is_permitted
    managed = server(RDS, superuser=False, admin=True)
    assert judge(vector("0.6.2", "0.8.5", owned=False), VECTOR, managed).is_permitted


def test_a_service_that_refuses_its_admin_has_to_offer_the_extension_first() -> None:
    azure = server(AZURE, superuser=False, admin=True)
    extension = judge(vector(None, "0.8.5"), VECTOR, azure)
    report = ExtensionsReport(azure, (extension,), advise(azure, (extension,)))
    assert report.advice == ("aperture-db check-extensions --create",)
    refused = ExtensionChange("vector", extension.statement or "", None, refusal="not allow-listed")
    advice = with_changes(report, [refused]).advice
    assert "azure.extensions" in advice[0]
    assert advice[1] == "aperture-db check-extensions --create"


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("db.abcdefgh.supabase.co", SUPABASE),
        ("aws-0-eu-central-1.pooler.supabase.com", SUPABASE),
        ("ep-cool-darkness-123456.us-east-2.aws.neon.tech", NEON),
        ("mydb.c9akciq32.eu-west-1.rds.amazonaws.com", RDS),
        ("mydb.cluster-c9akciq32.cn-north-1.rds.amazonaws.com.cn", RDS),
        ("library.postgres.database.azure.com", AZURE),
        ("/cloudsql/project:europe-west1:aperture", CLOUD_SQL),
        ("abc.europe-west1.sql.goog", CLOUD_SQL),
        ("db-postgresql-fra1-1.b.db.ondigitalocean.com", DIGITALOCEAN),
        ("neon.tech.example.org", DOCKER),
        ("localhost", DOCKER),
    ],
)
def test_the_host_tells_a_managed_service(host: str, place: Platform) -> None:
    assert recognize(host, PGDG) is place


@pytest.mark.parametrize("place", MANAGED, ids=lambda place: place.id)
def test_a_service_behind_a_tunnel_is_told_by_its_role(place: Platform) -> None:
    assert recognize("localhost", PGDG, roles=(place.marker_role,)) is place


@pytest.mark.parametrize(
    ("version_text", "cluster_name", "place"),
    [
        (PGDG, "", DOCKER),
        (PGDG, "16/main", DEBIAN),
        ("PostgreSQL 15.20 (Debian 15.20-0+deb12u1) on x86_64-pc-linux-gnu", "", DEBIAN),
        ("PostgreSQL 16.9 (Ubuntu 16.9-0ubuntu0.24.04.1) on aarch64", "16/main", DEBIAN),
        ("PostgreSQL 16.2 on x86_64-pc-linux-musl, compiled by gcc (Alpine)", "", DOCKER_ALPINE),
        ("PostgreSQL 16.2 on x86_64, compiled by gcc (GCC) 8.5.0 (Red Hat 8.5.0-20)", "", RED_HAT),
        ("PostgreSQL 18.1 on x86_64-pc-linux-gnu, compiled by gcc (Debian 12.2.0-14)", "", SOURCE),
    ],
)  # fmt: skip
def test_the_build_tells_the_packaging(
    version_text: str, cluster_name: str, place: Platform
) -> None:
    assert recognize("10.0.0.5", version_text, cluster_name=cluster_name) is place


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (DOCKER, "pgvector/pgvector:pg16"),
        (DOCKER_ALPINE, "pgvector/pgvector:pg16"),
        (DEBIAN, "postgresql-16-pgvector"),
        (RED_HAT, "pgvector_16"),
        (SOURCE, "git clone"),
        (SUPABASE, "Infrastructure"),
        (NEON, "restart the compute"),
        (RDS, "newest minor version of PostgreSQL 16"),
        (AZURE, "azure.extensions"),
        (CLOUD_SQL, "--maintenance-version"),
        (DIGITALOCEAN, "control panel"),
    ],
)
def test_the_advice_fits_the_place(place: Platform, told: str) -> None:
    home = server(place)
    advice = advise(home, [judge(vector("0.6.2", "0.6.2"), VECTOR, home)])
    assert told in advice[0]
    assert advice[-1] == "aperture-db check-extensions --create"


def test_the_newest_release_is_advised_everywhere() -> None:
    """It has none of the known defects, and the page about building pgvector names it too."""
    assert VECTOR.defects_of(PGVECTOR_RELEASE) == ()
    assert f" v{PGVECTOR_RELEASE} " in (SOURCE.get_vector or "")
    page = Path(__file__).parents[2] / "docs" / "external-database.md"
    assert f"git clone --branch v{PGVECTOR_RELEASE} " in page.read_text(encoding="utf-8")
