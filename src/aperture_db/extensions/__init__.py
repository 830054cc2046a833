"""The PostgreSQL extensions that Aperture needs: what there is, what to do, and a real trial."""

from __future__ import annotations

from dataclasses import replace

from aperture_db.extensions.advice import advise, finding
from aperture_db.extensions.collect import collect
from aperture_db.extensions.create import create_missing, with_changes
from aperture_db.extensions.report import Extension, ExtensionsReport, ExtensionState, Server
from aperture_db.extensions.requirements import REQUIREMENTS, Requirement
from aperture_db.postgres.connection import Connection

__all__ = [
    "REQUIREMENTS",
    "Extension",
    "ExtensionState",
    "ExtensionsReport",
    "Requirement",
    "Server",
    "advise",
    "check",
    "collect",
    "finding",
]


def check(
    conn: Connection, host: str, *, create: bool = False, try_out: bool = False
) -> ExtensionsReport:
    """The report, after installing and updating with `create`, with real use with `try_out`.

    Both need a connection that was not opened read-only; without them nothing is written.
    """
    with conn.transaction():
        report = collect(conn, host)
    if create:
        changes = create_missing(conn, report)
        with conn.transaction():
            report = with_changes(collect(conn, host), changes)
    if try_out:
        from aperture_db.extensions.probe import probe

        report = replace(report, probes=probe(conn, report))
    return report
