"""Everything that Aperture's documentation promises administrators is covered by a command, a
document, or both.

The rows are those of its pages on managing the database (M) and on an external database (X), in
our own words. A place is a command line, or a section of a document of docs/ and, after a colon,
phrases that stand in it.
"""

from __future__ import annotations

import re

import pytest

from tests.docs.markdown import ROOT, sections
from tests.docs.test_commands import parse

ROWS = {
    "M1 counts of movies, series, episodes, users, embeddings, ratings, watch history": (
        "stats",
        "tour.md#stats: movies | series | episodes | users | embeddings | ratings | watch history",
    ),
    "M2 sizes of the database, the embeddings and the indexes": (
        "stats --tables",
        "tour.md#stats: database | embeddings | vector indexes | indexes",
    ),
    "M3 refreshing the figures": ("stats --watch", "tour.md#stats: refreshes the figures"),
    "M4 fewer movies than the library has: the sync is not complete": (
        "troubleshooting.md#counts-are-too-low: fewer movies | the sync is not complete",
    ),
    "M5 fewer embeddings than movies: the embedding job is pending": (
        "troubleshooting.md#counts-are-too-low: fewer embeddings | the embedding job is pending",
    ),
    "M6 fewer users than the media server has: a user sync is needed": (
        "troubleshooting.md#counts-are-too-low: fewer users | sync-users",
    ),
    "M7 a purge is permanent, and warns": (
        "switching-servers.md#when-to-purge-and-when-not: cannot be undone",
        "tour.md#purge: Warnings",
    ),
    "M8 when to purge: another media server, a fresh start, test data, reconfiguration": (
        (
            "switching-servers.md#when-to-purge-and-when-not: another media server | start fresh | "
            "test data | change the embedding model, libraries or other settings"
        ),
    ),
    "M9 the six options, and what each deletes": (
        "purge --what movies",
        "purge --what series",
        "purge --what content",
        "purge --what watch-history",
        "purge --what ratings",
        "purge --what everything",
        (
            "purge.md#purge: `movies` | `series` | `content` | `watch-history` | `ratings` | "
            "`everything`"
        ),
    ),
    "M10 choose, review the counts, type the phrase, confirm, wait for the end": (
        "purge --what movies --dry-run",
        "purge.md#confirmation: choose | the exact counts | type the phrase | wait for the end",
    ),
    "M11 afterwards: syncs, embeddings, recommendations; users may have to rate again": (
        "relink --apply",
        "purge.md#afterwards: syncs | embeddings | recommendations | given again",
    ),
    "M12 the confirmation: counts, tables, no way back, the exact phrase": (
        (
            "purge.md#confirmation: the exact counts, the tables | cannot be recovered | "
            "exactly `yes I am sure` | nothing is changed until it matches"
        ),
    ),
    "M13 health: connection, query performance, growth": (
        "health",
        "stats --history",
        "health.md#connection: `reachable` | `latency`",
        "health.md#queries: `slow-statements`",
        "health.md#storage: `growth`",
    ),
    "M14 signs: slow queries, growing size, connection errors": (
        "troubleshooting.md#slow-queries: an index is missing",
        "troubleshooting.md#growing-size: orphans",
        "troubleshooting.md#connection-errors: max_connections",
    ),
    "M15 automatic vacuum: dead rows, space, statistics": (
        "scheduling.md#vacuum: autovacuum removes dead rows | space | statistics",
    ),
    "M16 manual optimisation: stop the app, VACUUM ANALYZE, start it again": (
        "vacuum",
        "scheduling.md#vacuum: stop Aperture | VACUUM (ANALYZE) | start Aperture",
    ),
    "M17 integrity: foreign keys, cascades, clean-up of orphans": (
        "clean --apply orphans",
        "troubleshooting.md#growing-size: a foreign key, PostgreSQL deletes or updates",
    ),
    "M18 orphans: from interruptions and migrations, harmless, cleaned": (
        "clean orphans",
        (
            "troubleshooting.md#growing-size: interrupted operations | changes of older versions | "
            "harmless"
        ),
        "scheduling.md#clean: `orphans`",
    ),
    "M19 connection trouble: running, connection string, credentials, Docker's network": (
        "health --only reachable",
        (
            "troubleshooting.md#cannot-connect: server running | connection string right | "
            "user and password right | Docker network"
        ),
    ),
    "M20 slow: the database's size, the query log, indexes, hardware": (
        "troubleshooting.md#slow-queries: the database has grown | an index is missing",
        "troubleshooting.md#find-slow-statements: log_min_duration_statement | pg_stat_statements",
        "troubleshooting.md#memory-disk-and-hardware: SSD | memory",
    ),
    "M21 inconsistent data: sync again, interrupted operations, job logs, support": (
        "troubleshooting.md#inconsistent-data: Run the sync again | the log of the job",
        "troubleshooting.md#interrupted-jobs: `migrate` | `purge`",
        "troubleshooting.md#asking-for-help: aperture-db health -v",
    ),
    "M22 direct access: psql, listing tables, counting, with care": (
        "psql",
        r"docker.md#psql: `\dt` lists the tables | SELECT count(*) | can lose data",
    ),
    "X1 when to use an external database": (
        (
            "external-database.md#when-to-use-one: exists already | managed service | "
            "replication | point-in-time recovery | availability | other services | rules say"
        ),
    ),
    "X2 requirements: PostgreSQL, the extensions, a database of its own, privileges": (
        "check-extensions",
        (
            "external-database.md#requirements: PostgreSQL 14 or newer; 16 is recommended | "
            "pgvector | pgcrypto | A database of its own | owns the database"
        ),
    ),
    "X3 why pgvector": (
        "external-database.md#why-pgvector: nearest vectors | PostgreSQL itself has neither",
    ),
    "X4 getting it: the Docker image, Debian and Ubuntu, other platforms": (
        "external-database.md#docker: docker run | pgvector/pgvector:pg16",
        (
            "external-database.md#debian-and-ubuntu: postgresql-server-dev-16 | make | "
            "make install | restart"
        ),
        "external-database.md#other-platforms: dnf | apk | brew",
    ),
    "X5 managed services, and how each enables the extensions": (
        "check-extensions --create",
        (
            "external-database.md#services: Supabase | Neon | Amazon RDS | Azure Flexible Server | "
            "Google Cloud SQL | DigitalOcean"
        ),
    ),
    "X6 user, database, grants, extensions, verifying": (
        "check-extensions --probe",
        (
            "external-database.md#create-the-user-and-the-database: CREATE USER | "
            "CREATE DATABASE | GRANT ALL PRIVILEGES | CREATE EXTENSION IF NOT EXISTS vector | "
            "FROM pg_extension"
        ),
    ),
    "X7 docker-compose.external-db.yml and DATABASE_URL in it": (
        "external-database.md#start-aperture: docker-compose.external-db.yml | DATABASE_URL:",
    ),
    "X8 the connection string: parts and examples": (
        (
            "external-database.md#the-connection-string: `user` | `password` | `host` | "
            "`database` | @localhost:5432 | @postgres:5432 | sslmode=require | rds.amazonaws.com | "
            ":6543/"
        ),
    ),
    "X9 the start: connect, extensions, migrations, web server; its log": (
        "health --only reachable --only extensions --only migrations",
        (
            "external-database.md#start-aperture: connects to the database | extensions | "
            "pending migrations | web server | Its log"
        ),
    ),
    "X10 migrations: the table, the order, at every start by default": (
        "migrate",
        (
            "external-database.md#migrations: At every start | the order of their names | "
            "`aperture_migrations` | `RUN_MIGRATIONS_ON_START` is `true`, the default"
        ),
    ),
    "X11 their status: names and times in order": (
        "migrate --status",
        "external-database.md#migrations: SELECT name, applied_at FROM aperture_migrations",
    ),
    "X12 manual migration: the variable, then the script": (
        (
            'external-database.md#migrations: `RUN_MIGRATIONS_ON_START: "false"` | '
            "python3 scripts/migrate.py"
        ),
    ),
    "X13 backups: built in, the provider's, cron, pgBackRest, WAL archiving": (
        "backup",
        (
            "external-database.md#backups: `pg_dump` over the network | `/backups` | provider | "
            "cron | pgBackRest | WAL archiving | point-in-time recovery"
        ),
    ),
    "X14 firewall; pg_hba.conf with a network or an address; reload": (
        "external-database.md#firewall: ufw allow from",
        "external-database.md#pg_hbaconf: scram-sha-256 | /32 | pg_reload_conf()",
    ),
    "X15 a shared network of containers": (
        "external-database.md#docker-networks: docker network create | external: true",
    ),
    "X16 TLS: the modes": (
        "health --only tls",
        "external-database.md#tls: `disable` | `require` | `verify-ca` | `verify-full`",
        "external-database.md#the-connection-string: ?sslmode=require",
    ),
    "X17 errors: extension, refused, password, database, privilege, migration": (
        (
            'external-database.md#errors: `extension "vector" is not available` | '
            "`connection refused` | pg_isready | firewall | pg_hba.conf | "
            "`password authentication failed` | Percent-encode | does not exist | "
            "`permission denied` | a migration fails | lacks CREATE | a previous installation | "
            "run the file in psql"
        ),
    ),
    "X18 tuning for large libraries": (
        "external-database.md#tuning: work_mem | maintenance_work_mem | pg_reload_conf()",
    ),
    "X19 moving from the built-in database": (
        "backup --dir /backups --database-url OLD",
        "restore FILE --database-url NEW",
        (
            "external-database.md#move-from-the-built-in-database: Back up OLD | pg_restore | "
            "docker-compose.external-db.yml up"
        ),
    ),
}
PLACE = re.compile(r"(?P<document>[\w-]+\.md)#(?P<heading>[\w-]+): (?P<phrases>.*)")


def test_all_rows_are_here() -> None:
    ids = [row.split()[0] for row in ROWS]
    assert ids == [f"M{n}" for n in range(1, 23)] + [f"X{n}" for n in range(1, 20)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split()[0])
def test_the_row_is_covered(row: str) -> None:
    assert ROWS[row]
    for place in ROWS[row]:
        section = PLACE.fullmatch(place)
        if section is None:
            parse(tuple(place.split()))
            continue
        found = sections(ROOT / "docs" / section["document"])
        assert section["heading"] in found, place
        text = " ".join(found[section["heading"]].split())
        missing = [each for each in section["phrases"].split(" | ") if each not in text]
        assert not missing, f"{place}: {missing}"
