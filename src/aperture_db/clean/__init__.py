"""Rows of Aperture's database that can be deleted safely: counts them, and deletes named kinds."""

from aperture_db.clean.apply import apply, summarize
from aperture_db.clean.collect import collect, refuse_unknown
from aperture_db.clean.report import (
    DESCRIPTIONS,
    LONGEST_TTL_SECONDS,
    BatchDeleted,
    CleanedKind,
    CleanedTable,
    CleanLimits,
    CleanReport,
    CleanResult,
    DeleteStrategy,
    Kind,
    KindReport,
    TablePart,
)

__all__ = [
    "DESCRIPTIONS",
    "LONGEST_TTL_SECONDS",
    "BatchDeleted",
    "CleanLimits",
    "CleanReport",
    "CleanResult",
    "CleanedKind",
    "CleanedTable",
    "DeleteStrategy",
    "Kind",
    "KindReport",
    "TablePart",
    "apply",
    "collect",
    "refuse_unknown",
    "summarize",
]
