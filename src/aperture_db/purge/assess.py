"""Counts what a selection concerns, and finds what forbids it, before anything is touched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from aperture_db.aperture import group_of
from aperture_db.errors import ApertureDbError
from aperture_db.format import quote_identifier
from aperture_db.postgres import catalog
from aperture_db.postgres.catalog import Table, TableSize
from aperture_db.postgres.connection import Connection, set_local
from aperture_db.purge.counting import Counted, count_effects, count_obstacle
from aperture_db.purge.possessions import Possessions
from aperture_db.purge.report import Deletion, MissingPrivilege, Update, Way
from aperture_db.purge.selection import TRUE, Selection, TableEffect
from aperture_db.purge.ways import Ways, choose_ways, read_key_definitions

# Conditions look into other tables; without room for a hash of their ids they would read those
# tables once per row.
WORK_MEMORY = "256MB"


@dataclass(frozen=True)
class Assessment:
    """Exact numbers for a selection, and the way that each table goes."""

    counts: Mapping[int, Counted]
    sizes: Mapping[int, TableSize]
    """Of the tables that lose rows, before."""
    ways: Ways
    deletions: tuple[Deletion, ...]
    updates: tuple[Update, ...]
    missing: tuple[MissingPrivilege, ...]

    @property
    def rows(self) -> int:
        return sum(deletion.rows for deletion in self.deletions)

    @property
    def updated_rows(self) -> int:
        return sum(update.rows for update in self.updates)


def assess(
    conn: Connection, selection: Selection, role: str, sizes: Mapping[int, TableSize]
) -> Assessment:
    """Count everything within the open transaction. `sizes` are those of `read_sizes`.

    Raises ApertureDbError when the role may not read a table, or when rows that are out of scope
    refer to rows that go by a foreign key that forbids it.
    """
    to_read = [("SELECT", effect.table, effect.table.may_select) for effect in selection.effects]
    require_privileges(_missing(conn, to_read, role), role)
    set_local(conn, work_mem=WORK_MEMORY)
    for obstacle in selection.obstacles:
        if rows := count_obstacle(conn, obstacle):
            referenced = selection.tables[obstacle.key.referenced_oid].name
            raise ApertureDbError(
                f"{referenced} can't be purged: {rows:,} rows of {obstacle.table.name} refer to it",
                why=f"the foreign key {obstacle.key.name} is ON DELETE {obstacle.key.on_delete}, "
                "and that table is not Aperture's",
                next_step=f"delete those rows, or make that foreign key ON DELETE CASCADE: "
                f'ALTER TABLE "{obstacle.table.name}" DROP CONSTRAINT "{obstacle.key.name}", '
                "ADD …;",
                code="rows_in_the_way",
            )
    counts = count_effects(conn, selection.effects)
    pageless = {oid for oid, size in sizes.items() if not size.pages}
    ways = choose_ways(selection, counts, read_key_definitions(conn), pageless)
    return Assessment(
        counts,
        sizes,
        ways,
        tuple(_deletions(selection, counts, ways, sizes)),
        tuple(_updates(selection, counts)),
        _missing(conn, _wanted_to_write(selection, ways), role),
    )


def require_privileges(missing: Sequence[MissingPrivilege], role: str) -> None:
    """Raise ApertureDbError that names every missing privilege and how to grant it."""
    if missing:
        named = "; ".join(f"{each.privilege} on {', '.join(each.tables)}" for each in missing)
        raise ApertureDbError(
            f"role {role} may not do this purge, nothing was changed",
            why=f"it lacks {named}",
            next_step="connect as the owner of Aperture's tables, which is faster, too; "
            "or as the owner run: " + " ".join(each.grant for each in missing),
            code="no_privilege",
        )


def assess_rebuild(
    conn: Connection, possessions: Possessions, sizes: Mapping[int, TableSize]
) -> Assessment:
    """Count what a rebuild drops: every row of Aperture's tables."""
    selection = whole_selection(possessions)
    counts = count_effects(conn, selection.effects)
    deletions = _deletions(selection, counts, Ways((), (), ()), sizes)
    return Assessment(
        counts,
        sizes,
        Ways((), (), ()),
        tuple(replace(deletion, way=Way.REBUILD) for deletion in deletions),
        (),
        (),
    )


def whole_selection(possessions: Possessions) -> Selection:
    """All rows of all of Aperture's tables."""
    effects = tuple(TableEffect(table, TRUE, True, ()) for table in possessions.tables)
    every = (*possessions.tables, *possessions.others)
    return Selection(effects, (), {}, {table.oid: table for table in every})


def shown_name(table: Table) -> str:
    """The bare name where that finds the table."""
    return table.name if table.is_visible else f"{table.schema}.{table.name}"


def read_sizes(conn: Connection, selection: Selection) -> dict[int, TableSize]:
    """The sizes of the tables that lose rows, by oid."""
    losing = [effect.table for effect in selection.effects if effect.going is not None]
    return catalog.read_sizes(conn, losing)


def _deletions(
    selection: Selection,
    counts: Mapping[int, Counted],
    ways: Ways,
    sizes: Mapping[int, TableSize],
) -> Iterator[Deletion]:
    truncated = {table.oid for table in ways.truncated}
    for effect in selection.effects:
        if effect.going is None:
            continue
        table = effect.table
        rows = counts[table.oid].going
        yield Deletion(
            table=shown_name(table),
            group=group_of(table.name) if table.is_visible else None,
            rows=rows,
            rows_before=counts[table.oid].total,
            size_bytes=sizes[table.oid].total_bytes if table.oid in sizes else 0,
            way=Way.TRUNCATE if table.oid in truncated else Way.DELETE if rows else Way.SKIP,
        )


def _updates(selection: Selection, counts: Mapping[int, Counted]) -> Iterator[Update]:
    for effect in selection.effects:
        counted = counts[effect.table.oid].changed
        for change, rows in zip(effect.changes, counted, strict=True):
            values = set(change.columns.values())
            yield Update(
                table=shown_name(effect.table),
                columns=tuple(change.columns),
                value=", ".join(sorted(values)),
                rows=rows,
                effect=change.effect,
            )


def _missing(
    conn: Connection, wanted: Iterable[tuple[str, Table, bool]], role: str
) -> tuple[MissingPrivilege, ...]:
    """Of privileges on tables, those that are not there, by privilege."""
    tables: dict[str, list[Table]] = {}
    for privilege, table, is_there in wanted:
        if not is_there:
            tables.setdefault(privilege, []).append(table)
    return tuple(
        MissingPrivilege(
            privilege,
            tuple(map(shown_name, each)),
            f"GRANT {privilege} ON TABLE "
            f"{', '.join(table.identifier.as_string(conn) for table in each)} "
            f"TO {quote_identifier(role)};",
        )
        for privilege, each in tables.items()
    )


def _wanted_to_write(selection: Selection, ways: Ways) -> Iterator[tuple[str, Table, bool]]:
    for effect in ways.deleted:
        yield "DELETE", effect.table, effect.table.may_delete
    for effect in selection.effects:
        if effect.changes:
            yield "UPDATE", effect.table, effect.table.may_update
