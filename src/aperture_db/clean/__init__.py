"""What can go safely from Aperture's database: lists it, and deletes what is named."""

from aperture_db.clean.apply import Progressed, apply, summarize
from aperture_db.clean.collect import collect, refuse_unknown
from aperture_db.clean.kinds import DESCRIPTIONS, LONGEST_TTL_SECONDS, Kind, Limits
from aperture_db.clean.report import (
    CleanedKind,
    CleanedTable,
    CleanReport,
    CleanResult,
    KindReport,
    TablePart,
    Way,
)

__all__ = [
    "DESCRIPTIONS",
    "LONGEST_TTL_SECONDS",
    "CleanReport",
    "CleanResult",
    "CleanedKind",
    "CleanedTable",
    "Kind",
    "KindReport",
    "Limits",
    "Progressed",
    "TablePart",
    "Way",
    "apply",
    "collect",
    "refuse_unknown",
    "summarize",
]
