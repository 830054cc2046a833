"""What is known to be so in Aperture's own schema, and not for an administrator to change."""

from __future__ import annotations

REPORT_UPSTREAM = (
    "report it to the developers of Aperture: an own change would make the schema differ from "
    "what its next migrations expect"
)
