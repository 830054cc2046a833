"""VACUUM table by table: plans the work, runs it, reports its progress and its outcome."""

from aperture_db.vacuum.plan import plan
from aperture_db.vacuum.report import (
    SnapshotHolder,
    TableFinished,
    TableResult,
    TableStarted,
    VacuumMode,
    VacuumOutcome,
    VacuumPlan,
    VacuumReport,
)
from aperture_db.vacuum.run import vacuum_tables

__all__ = [
    "SnapshotHolder",
    "TableFinished",
    "TableResult",
    "TableStarted",
    "VacuumMode",
    "VacuumOutcome",
    "VacuumPlan",
    "VacuumReport",
    "plan",
    "vacuum_tables",
]
