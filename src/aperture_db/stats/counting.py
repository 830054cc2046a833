"""Rows of whole tables: exact, estimated, or why they are not known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aperture_db.postgres.catalog import Table, TableSize
from aperture_db.stats.estimate import estimate_rows
from aperture_db.stats.inventory import Inventory
from aperture_db.stats.questions import Answers, row_source
from aperture_db.stats.report import Count, Unknown, unknown_count


@dataclass(frozen=True)
class Plan:
    """Which tables are counted, and what is known of the others without counting."""

    to_count: tuple[Table, ...]
    known: Mapping[int, Count]
    """By oid."""

    def counts(self, answers: Answers) -> dict[int, Count]:
        """By oid, once the tables have been counted, whole or by some detail."""
        counted = {
            table.oid: Count(sum(answers.get(row_source(table.oid), {}).values()))
            for table in self.to_count
        }
        return {**self.known, **counted}


def plan_counts(
    inventory: Inventory,
    tables: Iterable[Table],
    sizes: Mapping[int, TableSize],
    *,
    estimate: bool,
) -> Plan:
    """Count what can be counted; with `estimate`, only what is quick and has no estimate."""
    to_count: list[Table] = []
    known: dict[int, Count] = {}
    for table in tables:
        obstacle = inventory.obstacle(table)
        estimated = estimate_rows(table, sizes.get(table.oid)) if estimate else None
        if obstacle in (None, Unknown.NO_PRIVILEGE, Unknown.LOCKED) and (
            estimated is not None and estimated.rows is not None
        ):
            # The estimate is in the catalogs, which everybody may read.
            known[table.oid] = estimated
        elif obstacle is not None:
            known[table.oid] = unknown_count(obstacle)
        elif estimated is not None:
            known[table.oid] = estimated
        else:
            to_count.append(table)
    return Plan(tuple(to_count), known)


def sum_counts(counts: Iterable[Count]) -> Count:
    """The rows of several tables together. Absent ones count as none; another unknown one makes
    the sum unknown."""
    rows = 0
    exact = True
    present = False
    for count in counts:
        if count.unknown is Unknown.ABSENT:
            continue
        if count.rows is None:
            return count
        present = True
        rows += count.rows
        exact = exact and count.exact
    return Count(rows, exact) if present else unknown_count(Unknown.ABSENT)
