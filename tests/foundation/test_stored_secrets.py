"""Tokens and keys that are stored in the database are in no output: of no command, in no mode and
format, and in no error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.cli import Outcome
from tests.dump_files import run_pg_dump
from tests.program import run_inside

SENTINEL = "Zeb7ra"
# As rows of Aperture have them, and in JSON.
PLANT = f"""
SET session_replication_role = replica;
INSERT INTO system_settings (key, value) VALUES
    ('mediaServerApiKey', '{SENTINEL}-setting'),
    ('openai_api_key', 'sk-{SENTINEL}-openai')
ON CONFLICT (key) DO UPDATE SET value = excluded.value;
UPDATE system_settings SET value = jsonb_set(value::jsonb, '{{embeddings,apiKey}}',
    '"{SENTINEL}-config"', true)::text WHERE key = 'ai_config';
UPDATE system_settings SET value = '{{"openai": {{"apiKey": "{SENTINEL}-credentials"}}}}'
WHERE key = 'ai_provider_credentials';
UPDATE users SET
    provider_access_token = '{SENTINEL}-provider-' || id,
    trakt_access_token = '{SENTINEL}-trakt-' || id,
    trakt_refresh_token = '{SENTINEL}-refresh-' || id;
INSERT INTO sessions (user_id, expires_at, data)
SELECT id, now() - interval '1 day', '{{"token": "{SENTINEL}-session"}}' FROM users;
INSERT INTO api_keys (user_id, name, key_hash, key_prefix)
SELECT id, 'key', '{SENTINEL}-hash-' || left(id::text, 40), '{SENTINEL}' FROM users;
UPDATE job_runs SET metadata = '{{"token": "{SENTINEL}-metadata"}}';
INSERT INTO job_runs (job_name, status, started_at, completed_at, duration_ms, metadata)
VALUES ('sync-movies', 'failed', now(), now(), 1, '{{"token": "{SENTINEL}-metadata"}}');
"""
CONFIRMED = ("--confirm", "yes I am sure")
READING = [
    ("stats",), ("stats", "--tables"), ("stats", "--estimate"), ("stats", "--history"),
    ("health",), ("health", "--format", "nagios"), ("health", "--format", "prometheus"),
    ("report", "--output", "{directory}/page.html"),
    ("check-extensions",), ("check-extensions", "--probe"),
    ("migrate", "--status"), ("migrate", "--check"), ("migrate", "--dry-run"),
    ("migrate", "--rehearse"),
    ("vacuum", "--dry-run"), ("vacuum", "--analyze-only", "--table", "users"),
    ("clean",), ("backup", "--dir", "{directory}"), ("backup", "--list", "--dir", "{directory}"),
    ("restore", "{directory}/rows.sql", "--dry-run"),
    ("purge", "--what", "movies", "--dry-run"), ("purge", "--what", "everything", "--dry-run"),
    ("relink",), ("relink", "--show", "pending"), ("relink", "--users"),
]  # fmt: skip


@pytest.fixture
def planted(sample_database: Callable[[], str]) -> str:
    """A sample library with secrets wherever Aperture keeps them."""
    conninfo = sample_database()
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for statement in filter(str.strip, PLANT.split(";\n")):
            assert conn.execute(statement.encode()).statusmessage not in ("UPDATE 0", "INSERT 0 0")
    return conninfo


def run_everywhere(conninfo: str, directory: Path, command: tuple[str, ...]) -> list[Outcome]:
    """The outcomes of a command as text and as JSON, with everything that -vv shows."""
    words = [word.format(directory=directory) for word in command]
    outputs = [["-vv"]] if "--format" in words else [["-vv"], ["-vv", "--json"]]
    return [run_inside(*words, *output, database=conninfo) for output in outputs]


def assert_no_secret(conninfo: str, directory: Path, outcomes: list[Outcome]) -> None:
    password = str(conninfo_to_dict(conninfo)["password"])
    texts = [outcome.out + outcome.err for outcome in outcomes]
    texts += [page.read_text() for page in directory.glob("*.html")]
    for text in texts:
        assert SENTINEL not in text, text
        assert password not in text, text


def test_reading(planted: str, tmp_path: Path) -> None:
    run_pg_dump(planted, tmp_path / "rows.sql", "--format=plain")
    for command in READING:
        outcomes = run_everywhere(planted, tmp_path, command)
        assert all("failed unexpectedly" not in outcome.err for outcome in outcomes), command
        assert_no_secret(planted, tmp_path, outcomes)


BREAK = """DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('{}', name);
    END LOOP;
END $$"""
OBSTACLES = {
    # Every row that is written is refused, and quoted.
    "a constraint": (BREAK.format("ALTER TABLE public.%I ADD CHECK (false) NOT VALID"),),
    "a trigger that quotes the row": (
        (
            "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
            "RAISE EXCEPTION 'row % is kept', old USING DETAIL = old::text, HINT = old::text; END$$"
        ),
        BREAK.format(
            "CREATE TRIGGER refuse BEFORE UPDATE OR DELETE ON public.%I "
            "FOR EACH ROW EXECUTE FUNCTION public.refuse()"
        ),
        BREAK.format(
            "CREATE TRIGGER refuse_all BEFORE TRUNCATE ON public.%I "
            "EXECUTE FUNCTION public.refuse()"
        ),
    ),
    "a trigger that converts a value": (
        (
            "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
            "EXECUTE format('SELECT %L::int', old::text); RETURN old; END$$"
        ),
        BREAK.format(
            "CREATE TRIGGER refuse BEFORE UPDATE OR DELETE ON public.%I "
            "FOR EACH ROW EXECUTE FUNCTION public.refuse()"
        ),
    ),
}
WRITING = [
    ("purge", "--what", "movies", *CONFIRMED, "--no-backup"),
    ("purge", "--what", "watch-history", *CONFIRMED, "--no-backup"),
    ("clean", "sessions", "job-history", "--apply", *CONFIRMED),
    ("backup", "--dir", "{directory}"),
]


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_writing_that_fails(planted: str, tmp_path: Path, obstacle: str) -> None:
    with psycopg.connect(planted, autocommit=True) as conn:
        for statement in OBSTACLES[obstacle]:
            conn.execute(statement.encode())
    failed = 0
    for command in WRITING:
        outcomes = run_everywhere(planted, tmp_path, command)
        failed += outcomes[0].code != 0
        assert_no_secret(planted, tmp_path, outcomes)
    assert failed > 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE users SET username = NULL",
        (
            "UPDATE users SET provider = 'emby', provider_user_id = 'same'; "
            "ALTER TABLE users ADD UNIQUE (provider)"
        ),
        "ALTER TABLE users ADD CHECK (provider_access_token = '')",
        "ALTER TABLE users ALTER provider_access_token TYPE int USING provider_access_token::int",
        "ALTER TABLE system_settings ALTER value TYPE jsonb USING value::jsonb",
        "ALTER TABLE users ALTER trakt_access_token TYPE varchar(3)",
        "ALTER TABLE api_keys ADD UNIQUE (key_prefix)",
        "ALTER TABLE api_keys ADD FOREIGN KEY (key_hash) REFERENCES system_settings (key)",
        (
            "DO $$BEGIN EXECUTE (SELECT format('SELECT %L::int', provider_access_token) FROM users "
            "LIMIT 1); END$$"
        ),
        (
            "DO $$BEGIN RAISE NOTICE '%', (SELECT provider_access_token FROM users LIMIT 1); "
            "RAISE EXCEPTION 'no user %', (SELECT u FROM users AS u LIMIT 1); END$$"
        ),
        "DO $$BEGIN ASSERT false, (SELECT provider_access_token FROM users LIMIT 1); END$$",
    ],
)
def test_a_migration_that_fails(planted: str, tmp_path: Path, statement: str) -> None:
    # Everything else is recorded already.
    (tmp_path / "0115_fails.sql").write_text(f"{statement};")
    for mode in ((), ("--rehearse",)):
        command = ("migrate", "--dir", str(tmp_path), *mode)
        outcomes = run_everywhere(planted, tmp_path, command)
        assert [outcome.code for outcome in outcomes] == [1, 1], outcomes[0].err
        assert_no_secret(planted, tmp_path, outcomes)


DAMAGE: dict[str, Callable[[list[str], int], None]] = {
    "a row twice": lambda lines, row: lines.insert(row, lines[row]),
    "a column too many": lambda lines, row: lines.insert(row, f"{lines[row]}\tmore"),
    "a column too few": lambda lines, row: lines.insert(row, lines[row].rpartition("\t")[0]),
    "a value of another type": lambda lines, row: lines.insert(
        row, "\t".join(reversed(lines[row].split("\t")))
    ),
    "no heading": lambda lines, row: lines.__delitem__(row - 1),
}


@pytest.mark.parametrize(
    ("table", "damage"),
    [
        ("users", "a row twice"),
        ("sessions", "a row twice"),
        ("system_settings", "a column too many"),
        ("api_keys", "a column too few"),
        ("users", "a value of another type"),
        ("api_keys", "no heading"),
    ],
)
def test_a_restore_that_fails(planted: str, tmp_path: Path, table: str, damage: str) -> None:
    form = ("--column-inserts",) if (table, damage) == ("users", "a row twice") else ()
    dump = run_pg_dump(planted, tmp_path / "rows.sql", "--format=plain", *form)
    lines = dump.read_text().split("\n")
    start = f"INSERT INTO public.{table} " if form else f"COPY public.{table} "
    first = next(number for number, line in enumerate(lines) if line.startswith(start))
    DAMAGE[damage](lines, first if form else first + 1)
    dump.write_text("\n".join(lines))
    command = ("restore", str(dump), *CONFIRMED, "--no-safety-backup")
    outcomes = run_everywhere(planted, tmp_path, command)
    assert all(outcome.code in (1, 2) for outcome in outcomes), outcomes[0].err
    assert_no_secret(planted, tmp_path, outcomes)
