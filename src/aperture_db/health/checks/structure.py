"""The structure of Aperture's schema against the one that its migrations make."""

from __future__ import annotations

from aperture_db import sql as queries
from aperture_db.aperture.structure import (
    KINDS,
    Difference,
    Structure,
    find_differences,
    read_steps,
    structure_after,
)
from aperture_db.format import plural
from aperture_db.health.check import (
    CheckOutcome,
    Context,
    NothingToCheckError,
    check,
    need_aperture,
    recorded_migrations,
)
from aperture_db.health.report import Area, Finding, Status

WITHOUT_STATEMENT = "restore a backup that has it; aperture-db backup --list shows them"


@check(
    "schema-drift",
    Area.APERTURE,
    about="The tables, columns, constraints, triggers and functions exist that the recorded "
    "migrations make, the columns with their types. The value is the number of differences. An "
    "index that is not unique may be dropped on purpose: info.",
    source="the structure after each bundled migration, recorded from running them",
)
def schema_drift(context: Context) -> CheckOutcome:
    need_aperture(context)
    recorded = recorded_migrations(context)
    if not recorded:
        raise NothingToCheckError("no migration is recorded")
    if recorded - {step["name"] for step in read_steps()}:
        raise NothingToCheckError("not known: a newer Aperture's migrations")
    found = _read_structure(context)
    findings = tuple(
        Finding(
            _judge_difference(difference),
            difference.what,
            (difference.statement or WITHOUT_STATEMENT,),
            object=difference.name,
        )
        for difference in find_differences(structure_after(recorded), found)
    )
    summary = plural(len(findings), "difference") if findings else "none"
    return CheckOutcome(summary, len(findings), findings)


def _read_structure(context: Context) -> Structure:
    found: Structure = {kind: {} for kind in KINDS}
    query = queries.compose("health/structure")
    found.update(context.conn.execute(query, {"schema": context.conn.schema}))
    return found


def _judge_difference(difference: Difference) -> Status:
    if difference.kind == "tables":
        return Status.CRITICAL
    return Status.INFO if difference.is_for_speed else Status.WARNING
