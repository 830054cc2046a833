"""The checks of `health`: what is wrong with the database, why, and how to mend it."""

from aperture_db.health.check import TIMEOUT_SECONDS, Check
from aperture_db.health.loop import Connect, run_checks
from aperture_db.health.options import make_selection
from aperture_db.health.registry import CHECKS
from aperture_db.health.report import (
    Area,
    Cause,
    Finding,
    HealthReport,
    Result,
    Status,
    Thresholds,
    Unit,
    Verdict,
)
from aperture_db.health.selection import Selection

__all__ = [
    "CHECKS",
    "TIMEOUT_SECONDS",
    "Area",
    "Cause",
    "Check",
    "Connect",
    "Finding",
    "HealthReport",
    "Result",
    "Selection",
    "Status",
    "Thresholds",
    "Unit",
    "Verdict",
    "make_selection",
    "run_checks",
]
