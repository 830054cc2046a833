"""A trigger of somebody else's in whose function a command fails is named, with its owner and what
disables it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.dump_files import PHRASE, execute, make_dump, read_rows
from tests.program import run_inside
from tests.purge.purging import CONFIRMED
from tests.servers.roles import Rights

NewDatabase = Callable[[], str]
NewRole = Callable[[str, Rights], str]
EVENT_TRIGGER = """
    CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS
        'BEGIN RAISE EXCEPTION ''not on a Friday''; END';
    CREATE EVENT TRIGGER "no changes" ON ddl_command_end EXECUTE FUNCTION refuse();
"""
DROP_TRIGGER = EVENT_TRIGGER.replace("ddl_command_end", "sql_drop")
TRIGGER = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN RAISE EXCEPTION ''not on a Friday''; END';
    CREATE TRIGGER "no changes" BEFORE DELETE OR TRUNCATE ON sessions EXECUTE FUNCTION refuse();
"""
NAMED = 'it failed in the event trigger "no changes": the function public.refuse() belongs to'
DISABLED = 'ALTER EVENT TRIGGER "no changes" DISABLE;'
REBUILD = ("purge", "--what", "everything", *CONFIRMED)
REINDEX = ("vacuum", "--reindex-hnsw", "--table", "embeddings_256")


def require_named_and_disabled(
    conninfo: str, *command: str, named: str = NAMED, disabled: str = DISABLED
) -> None:
    """What is printed is true, and following it helps."""
    before = read_rows(conninfo)
    outcome = run_inside(*command, database=conninfo)
    assert outcome.code == 1, outcome.out
    said = " ".join(outcome.err.split())
    assert "not on a Friday" in said
    assert named in said
    assert f"superuser run: {disabled} then run the command again" in said
    assert read_rows(conninfo) == before
    execute(conninfo, disabled)
    again = run_inside(*command, database=conninfo)
    assert again.code == 0, again.err


@pytest.mark.parametrize("trigger", [EVENT_TRIGGER, DROP_TRIGGER], ids=["end", "drop"])
def test_purge_everything(trigger: str, aperture_database: NewDatabase) -> None:
    conninfo = aperture_database()
    execute(conninfo, trigger)
    require_named_and_disabled(conninfo, *REBUILD)


def test_migrate(database_at: Callable[[str], str]) -> None:
    conninfo = database_at("0112")
    execute(conninfo, EVENT_TRIGGER)
    require_named_and_disabled(conninfo, "migrate")


@pytest.mark.parametrize("trigger", [EVENT_TRIGGER, DROP_TRIGGER], ids=["end", "drop"])
def test_restore(trigger: str, aperture_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = aperture_database()
    dump = make_dump(conninfo, tmp_path).path
    execute(conninfo, trigger)
    require_named_and_disabled(
        conninfo, "restore", str(dump), "--confirm", PHRASE, "--no-safety-backup"
    )


def test_vacuum_that_rebuilds(aperture_database: NewDatabase) -> None:
    conninfo = aperture_database()
    execute(conninfo, EVENT_TRIGGER)
    if run_inside(*REINDEX, database=conninfo).code == 0:
        pytest.skip("before PostgreSQL 17 REINDEX fires no event trigger")
    require_named_and_disabled(conninfo, *REINDEX)


def test_clean_and_a_plain_trigger(sample_database: NewDatabase) -> None:
    conninfo = sample_database()
    execute(conninfo, TRIGGER, "UPDATE sessions SET expires_at = now() - interval '3 days'")
    require_named_and_disabled(
        conninfo, "clean", "expired-sessions", "--apply", "--confirm", PHRASE,
        named='it failed in the trigger "no changes" on public.sessions: the function '
        "public.refuse() belongs to",
        disabled='ALTER TABLE public.sessions DISABLE TRIGGER "no changes";',
    )  # fmt: skip


def test_a_function_that_lacks_a_right(
    database_at: Callable[[str], str], limited_role: NewRole
) -> None:
    """A GRANT to whoever runs the migration would be the wrong way out."""
    conninfo = database_at("0112")
    execute(
        conninfo,
        "CREATE TABLE journal (command text)",
        "CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS "
        "'BEGIN INSERT INTO public.journal VALUES (tg_tag); END'",
        "CREATE EVENT TRIGGER note ON ddl_command_start EXECUTE FUNCTION note()",
    )
    owner = limited_role(conninfo, "owner")
    execute(conninfo, "ALTER TABLE journal OWNER TO postgres", "REVOKE ALL ON journal FROM PUBLIC")
    with psycopg.connect(owner) as conn:
        role = conn.info.user
    execute(conninfo, f"REVOKE ALL ON journal FROM {role}")
    outcome = run_inside("migrate", database=owner)
    assert outcome.code == 1, outcome.out
    said = " ".join(outcome.err.split())
    assert "permission denied for table journal" in said
    assert "it failed in the event trigger note: the function public.note() belongs to" in said
    assert "GRANT" not in said
    assert "ALTER EVENT TRIGGER note DISABLE;" in said
