"""The JSON object that `--json` prints: one per run, also when the run fails."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from math import isfinite
from pathlib import Path
from typing import Any
from uuid import UUID

from aperture_db.errors import ApertureDbError

SCHEMA_VERSION = 1


def render_envelope(
    command: str,
    data: object,
    warnings: list[str],
    error: ApertureDbError | None,
    *,
    ok: bool,
    ascii_only: bool = False,
) -> str:
    """The envelope as text. `data` may be a dataclass; None where the run failed early.

    `ascii_only` escapes all other letters, for a stream whose encoding may lack some.
    """
    envelope = {
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "ok": ok,
        "data": to_plain(data),
        "warnings": warnings,
        "error": _plain_error(error) if error else None,
    }
    return json.dumps(envelope, ensure_ascii=ascii_only, allow_nan=False, indent=2)


def _plain_error(error: ApertureDbError) -> dict[str, str]:
    cause = "\n".join([error.why, *error.details])
    return {"code": error.code, "message": error.what, "cause": cause, "next": error.next_step}


def to_plain(value: object) -> Any:
    """Dataclasses as objects, times as ISO 8601 in UTC, everything else as JSON has it; what is
    not a finite number as null.

    Fields marked `metadata={"json": False}` stay out.
    """
    match value:
        case float() if not isfinite(value):
            return None
        case None | bool() | int() | float() | str() if not isinstance(value, Enum):
            return value
        case Enum():
            return value.value
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date() | UUID() | Path():
            return str(value)
        case Decimal():
            return to_plain(float(value))
        case Mapping():
            return {str(to_plain(key)): to_plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
            return [to_plain(item) for item in items]
        case _ if is_dataclass(value):
            shown = [field for field in fields(value) if field.metadata.get("json", True)]
            return {field.name: to_plain(getattr(value, field.name)) for field in shown}
        case _:
            raise TypeError(f"{type(value).__name__} has no form in JSON")
