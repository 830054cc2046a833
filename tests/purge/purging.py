"""A purge run by its command line, and what it says."""

from __future__ import annotations

from typing import Any

from tests.cli import Outcome
from tests.program import run_inside

PHRASE = "yes I am sure"
CONFIRMED = ("--no-backup", "--confirm", PHRASE)


def try_purge(database: str, *arguments: str) -> Outcome:
    """Run `aperture-db purge --json`, whatever comes of it."""
    return run_inside("purge", *arguments, "--json", database=database)


def purge(database: str, *arguments: str) -> dict[str, Any]:
    """Run `aperture-db purge --json`, confirmed and without a backup; its data."""
    outcome = try_purge(database, *arguments, *CONFIRMED)
    assert outcome.code == 0, outcome.err
    data: dict[str, Any] = outcome.envelope["data"]
    return data


def plan_of(database: str, *arguments: str) -> dict[str, Any]:
    """The plan of a dry run."""
    outcome = try_purge(database, *arguments, "--dry-run")
    assert outcome.code == 0, outcome.err
    plan: dict[str, Any] = outcome.envelope["data"]["plan"]
    return plan


def warnings_of(plan: dict[str, Any]) -> dict[str, str]:
    """The texts of a plan's warnings by their codes."""
    return {warning["code"]: warning["text"] for warning in plan["warnings"]}


def losses_of(plan: dict[str, Any]) -> dict[str, int]:
    """Data that cannot be recovered, with its rows."""
    return {loss["what"]: loss["rows"] for loss in plan["losses"]}
