"""The structure that Aperture's migrations make, as `steps.jsonl` records it: one line for each
file, with the objects that running it adds, changes and removes.

A structure maps each kind of object to its objects, and each object to its definition as the server
prints it with `public` alone on the search_path. What belongs to a table is named `table.object`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Container, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

from aperture_db.aperture.kinds import DUPLICATE_INDEXES
from aperture_db.aperture.tables import MIGRATIONS_TABLE

Structure: TypeAlias = dict[str, dict[str, Any]]

KINDS = (
    "extensions", "tables", "columns", "constraints", "indexes", "triggers", "functions",
)  # fmt: skip

# Before 0104 renamed them where they exist, an early 0080 made these columns with another name.
RENAMED_BY, RENAMED_COLUMNS = "0104_rename_jellyseerr_to_seerr.sql", "discovery_requests.seerr_"

# Its page for embeddings drops these tables.
DROPPED_BY_APERTURE = "_legacy"
REFERENCED_TABLE = re.compile(r"REFERENCES (\w+)\(")
INDEX = re.compile(
    r"(?P<make>CREATE (?:UNIQUE )?INDEX) (?P<name>\S+) (?P<rest>ON (?P<table>\w+) .*)"
)


@cache
def read_steps() -> tuple[dict[str, Any], ...]:
    """The recorded steps, in their order; `name` is the file's."""
    text = files("aperture_db.aperture").joinpath("steps.jsonl").read_text("utf-8")
    return tuple(map(json.loads, text.splitlines()))


def apply_step(structure: Structure, step: dict[str, Any]) -> None:
    """Change the structure as the file of the step does. An object that is renamed is one removed
    and one added."""
    for kind, names in step.get("remove", {}).items():
        for name in names:
            structure[kind].pop(name, None)
    for part in ("add", "change"):
        for kind, objects in step.get(part, {}).items():
            structure[kind].update(objects)


def structure_after(applied: Collection[str]) -> Structure:
    """The structure that these migrations make together; the names of others count for nothing."""
    structure: Structure = {kind: {} for kind in KINDS}
    for step in read_steps():
        if step["name"] in applied:
            apply_step(structure, step)
    if RENAMED_BY not in applied:
        columns = structure["columns"]
        structure["columns"] = {
            name: definition
            for name, definition in columns.items()
            if not name.startswith(RENAMED_COLUMNS)
        }
    return structure


@dataclass(frozen=True)
class Difference:
    """An object that a database lacks, or a column that has another type."""

    kind: str
    """A key of `Structure`."""
    name: str
    what: str
    statement: str = ""
    """Makes it again, a column without its values. Empty where that takes more than a statement."""

    @property
    def is_for_speed(self) -> bool:
        """Nothing depends on it but the speed of queries."""
        return self.statement.startswith("CREATE INDEX")


def find_missing_tables(expected: Structure, present: Container[str]) -> list[str]:
    """List the tables that are not present, apart from those that Aperture offers to drop."""
    return [
        name
        for name in sorted(expected["tables"])
        if name not in present and not name.endswith(DROPPED_BY_APERTURE)
    ]


def find_differences(expected: Structure, found: Structure) -> list[Difference]:
    """List what `found` lacks, in an order in which the statements can be run.

    `found` has a column's type as its definition, and no schema in a definition. What belongs to a
    missing table or refers to one is not listed beside it. An object that has another name and the
    same definition is the same one; more objects than expected are no difference.
    """
    return [
        Difference("tables", name, f"the table {name} is missing")
        for name in find_missing_tables(expected, found["tables"])
    ] + [
        difference
        for compare in (_columns, _functions, _constraints, _indexes, _triggers)
        for difference in compare(expected, found)
    ]


def _columns(expected: Structure, found: Structure) -> Iterator[Difference]:
    for name, (type_name, nullability, default) in expected["columns"].items():
        table, column = name.split(".")
        # Its columns depend on whether a migration or Aperture itself made it.
        if table not in found["tables"] or table == MIGRATIONS_TABLE:
            continue
        alter, present = f"ALTER TABLE {table}", found["columns"].get(name)
        if present is None:
            definition = type_name
            if default:
                # Without a default, the rows that are there would not fit NOT NULL.
                definition += f" DEFAULT {default}{' NOT NULL' * (nullability == 'not null')}"
            statement = f"{alter} ADD COLUMN {column} {definition};"
            yield Difference("columns", name, f"{table} lacks the column {column}", statement)
        elif present != type_name:
            what = f"{name} has the type {present} instead of {type_name}"
            statement = f"{alter} ALTER COLUMN {column} TYPE {type_name}"
            yield Difference("columns", name, what, f"{statement} USING {column}::{type_name};")


def _functions(expected: Structure, found: Structure) -> Iterator[Difference]:
    for name in expected["functions"]:
        if name not in found["functions"]:
            yield Difference("functions", name, f"the function {name} is missing")


def _constraints(expected: Structure, found: Structure) -> Iterator[Difference]:
    same = {(name.split(".")[0], each) for name, each in found["constraints"].items()}
    constraints: dict[str, str] = expected["constraints"]
    # Keys come first: foreign keys need them.
    for name in sorted(constraints, key=lambda name: constraints[name].startswith("FOREIGN")):
        (table, constraint), definition = name.split("."), constraints[name]
        target = REFERENCED_TABLE.search(definition)
        is_possible = {table, *([target[1]] if target else ())} <= found["tables"].keys()
        if name in found["constraints"] or (table, definition) in same or not is_possible:
            continue
        if table != MIGRATIONS_TABLE:
            what = f"{table} lacks the constraint {constraint}"
            statement = f"ALTER TABLE {table} ADD CONSTRAINT {constraint} {definition};"
            yield Difference("constraints", name, what, statement)


def _indexes(expected: Structure, found: Structure) -> Iterator[Difference]:
    same = {match["rest"] for each in found["indexes"].values() if (match := INDEX.match(each))}
    for name, definition in expected["indexes"].items():
        match = INDEX.match(definition.replace(" ON public.", " ON "))
        assert match is not None, definition
        if name in found["indexes"] or match["rest"] in same or name in DUPLICATE_INDEXES:
            continue
        if match["table"] in found["tables"]:
            statement = f"{match['make']} CONCURRENTLY {name} {match['rest']};"
            what = f"{match['table']} lacks the index {name}"
            yield Difference("indexes", name, what, statement)


def _triggers(expected: Structure, found: Structure) -> Iterator[Difference]:
    for name, definition in expected["triggers"].items():
        table, trigger = name.split(".")
        if name not in found["triggers"] and table in found["tables"]:
            statement = f"{definition.replace(' ON public.', ' ON ')};"
            yield Difference("triggers", name, f"{table} lacks the trigger {trigger}", statement)
