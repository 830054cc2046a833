"""What kept tables from being read, as hints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aperture_db.format import list_some
from aperture_db.postgres.activity import ExclusiveLock
from aperture_db.postgres.catalog import Table, grants_to_read
from aperture_db.stats.inventory import Inventory
from aperture_db.stats.report import Count, DatabaseFacts, Hint, Unknown

NAMED_TABLES = 3


def hints_about_obstacles(
    inventory: Inventory,
    tables: Iterable[Table],
    counts: Iterable[Count],
    facts: DatabaseFacts,
) -> Iterator[Hint]:
    """Missing privileges, locks with who holds them, and tables without an estimate."""
    concerned = list(tables)
    denied = [table for table in concerned if not table.may_select]
    if denied:
        yield _hint_about_privileges(denied, facts)
    for table in concerned:
        if table.oid in inventory.locks and table.may_count:
            yield _hint_about_locks(table, inventory.locks[table.oid])
    unestimated = sum(count.unknown is Unknown.NOT_ANALYZED for count in counts)
    if unestimated:
        yield Hint(
            "not_analyzed",
            True,
            f"there is no estimate for {_number_of_tables(unestimated)}",
            "neither autovacuum nor ANALYZE has been there yet",
            "ANALYZE;",
        )


def _hint_about_privileges(denied: list[Table], facts: DatabaseFacts) -> Hint:
    grants = grants_to_read(denied, facts.role)
    shown = list_some((table.name for table in denied), NAMED_TABLES)
    return Hint(
        "no_privilege",
        True,
        f"{_number_of_tables(len(denied))} can't be read",
        f"role {facts.role} has no SELECT on {shown}",
        f"as the owner or a superuser run: {' '.join(grants)}",
    )


def _hint_about_locks(table: Table, locks: list[ExclusiveLock]) -> Hint:
    lock = locks[0]
    verb = "holds" if lock.is_held else "waits for"
    holder = lock.session or "a prepared transaction"
    next_step = "wait until it ends, then run again"
    if lock.session:
        next_step += f"; or end it: SELECT pg_terminate_backend({lock.session.pid});"
    else:
        next_step += "; or end it: SELECT gid FROM pg_prepared_xacts; ROLLBACK PREPARED '…';"
    return Hint(
        "locked",
        True,
        f"{table.name} can't be read now",
        f"it is locked: {holder} {verb} ACCESS EXCLUSIVE",
        next_step,
    )


def _number_of_tables(number: int) -> str:
    return "1 table" if number == 1 else f"{number} tables"
