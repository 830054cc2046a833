"""What check-extensions prints, from results made by hand."""

from __future__ import annotations

from collections.abc import Callable

from aperture_db.extensions.collect import advise
from aperture_db.extensions.report import (
    Extension,
    ExtensionChange,
    ExtensionsReport,
    ExtensionState,
    Probe,
    ProbeOutcome,
    ServerAccess,
)
from aperture_db.postgres import DEBIAN, DOCKER, Platform
from aperture_db.render.migrate import render_extensions
from tests.described import undescribed
from tests.snapshot import rendered

Snapshot = Callable[[str, str], None]

VECTOR = Extension(
    name="vector",
    needed_for="embeddings and their search",
    minimum_version="0.7.0",
    installed_version="0.8.5",
    available_version="0.8.5",
    schema="public",
    state=ExtensionState.OK,
    reason="",
    statement=None,
    is_permitted=True,
    is_trusted=False,
    needs_files=False,
)
MISSING = Extension(
    name="pg_trgm",
    needed_for="fuzzy title search",
    minimum_version=None,
    installed_version=None,
    available_version="1.6",
    schema=None,
    state=ExtensionState.NOT_INSTALLED,
    reason="the database does not have it yet",
    statement="CREATE EXTENSION IF NOT EXISTS pg_trgm",
    is_permitted=False,
    is_trusted=True,
    needs_files=False,
)
SERVER = ServerAccess(
    version="16.4 (Debian 16.4-1.pgdg120+2)",
    version_number=160004,
    place=DOCKER,
    database="aperture",
    role="aperture",
    is_superuser=True,
    is_standby=False,
    may_create_in_database=True,
    has_admin_role=False,
)
LIMITED = ServerAccess(
    version="15.20 (Debian 15.20-0+deb12u1)",
    version_number=150020,
    place=DEBIAN,
    database="aperture",
    role="reader",
    is_superuser=False,
    is_standby=True,
    may_create_in_database=False,
    has_admin_role=False,
)


def test_in_order(snapshot: Snapshot) -> None:
    probes = (
        Probe("vector", "search by HNSW index", ProbeOutcome.PASSED, "10 of the 10 nearest found"),
        Probe("pg_trgm", "similarity of two words", ProbeOutcome.SKIPPED, "pg_trgm is not usable"),
    )
    changes = (ExtensionChange("vector", "CREATE EXTENSION IF NOT EXISTS vector", None),)
    report = ExtensionsReport(SERVER, (VECTOR,), (), changes, probes)
    snapshot("extensions/in_order", rendered(render_extensions(report)))


def test_missing(snapshot: Snapshot) -> None:
    extensions = (VECTOR, MISSING)
    report = ExtensionsReport(LIMITED, extensions, advise(LIMITED, extensions))
    snapshot("extensions/missing", rendered(render_extensions(report)))


def test_its_json_is_described() -> None:
    shapes = (ExtensionsReport, ServerAccess, Platform, Extension, ExtensionChange, Probe)
    assert undescribed("check-extensions", *shapes) == set()
