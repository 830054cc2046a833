"""The PostgreSQL extensions that Aperture needs: their state, and how to get them into order.

`extensions.check` creates, updates and probes them; it loads pgvector.
"""

from aperture_db.extensions.collect import advise, collect, finding
from aperture_db.extensions.report import (
    ADVISED_MAJOR,
    REQUIREMENTS,
    Extension,
    ExtensionsReport,
    ExtensionState,
    Requirement,
)

__all__ = [
    "ADVISED_MAJOR",
    "REQUIREMENTS",
    "Extension",
    "ExtensionState",
    "ExtensionsReport",
    "Requirement",
    "advise",
    "collect",
    "finding",
]
