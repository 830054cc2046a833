"""Whether docs/json.md names what a command's JSON holds."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "json.md"


def undescribed(section: str, *shapes: type) -> set[str]:
    """Fields of these dataclasses that the section `## section` does not name."""
    text = DOCUMENT.read_text(encoding="utf-8")
    body = re.split(rf"^## {re.escape(section)}$", text, flags=re.MULTILINE)[1]
    body = re.split(r"^## ", body, flags=re.MULTILINE)[0]
    shown = {
        field.name
        for shape in shapes
        for field in fields(shape)
        if field.metadata.get("json", True)
    }
    return {name for name in shown if f"`{name}`" not in body}
