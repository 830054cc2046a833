"""The PostgreSQL extensions that Aperture needs: what there is, what to do, and a real trial."""

from aperture_db.extensions.advice import advise, finding
from aperture_db.extensions.collect import collect
from aperture_db.extensions.report import (
    Extension,
    ExtensionsReport,
    ExtensionState,
    Server,
)
from aperture_db.extensions.requirements import REQUIREMENTS, Requirement

__all__ = [
    "REQUIREMENTS",
    "Extension",
    "ExtensionState",
    "ExtensionsReport",
    "Requirement",
    "Server",
    "advise",
    "collect",
    "finding",
]
