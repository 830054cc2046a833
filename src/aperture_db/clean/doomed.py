"""Which rows of which tables belong to a kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from psycopg import sql

from aperture_db import sql as queries
from aperture_db.aperture import ActiveModel, EmbeddingTable
from aperture_db.clean.kinds import Kind
from aperture_db.postgres.catalog import Table

BATCH_ROWS = 5_000
# One run can have thousands of candidates, which go with it.
BATCH_RUNS = 25

REFRESHED_AT = {
    "person_tmdb_profile_cache": "updated_at",
    "tmdb_collection_cache": "updated_at",
    "tmdb_poster_cache": "fetched_at",
    "justwatch_chart_cache": "fetched_at",
}
"""When a row of a cache was last fetched."""


@dataclass(frozen=True)
class Doomed:
    """The rows of one table that can go, as a query of sql/clean."""

    table: Table
    query: str
    parts: Mapping[str, sql.Composable] = field(default_factory=dict)
    may_empty: bool = False
    """The table may be emptied by TRUNCATE when all its rows go: nothing refers to it."""
    goes_with: str | None = None
    """The table whose rows take these along; they are counted here and deleted there."""
    batch_rows: int = BATCH_ROWS

    def select(self, columns: sql.Composable) -> sql.Composed:
        """The query for these columns of the rows, which it calls `doomed`."""
        text = sql.SQL(queries.load(f"clean/{self.query}"))
        return text.format(columns=columns, **self.parts)


@dataclass(frozen=True)
class Scene:
    """What there is to look at."""

    tables: Mapping[str, Table]
    """Aperture's tables by name, as far as this version has them."""
    embedding_tables: tuple[EmbeddingTable, ...]
    active: ActiveModel | None

    def has(self, table: str, *columns: str) -> bool:
        return table in self.tables and set(columns) <= set(self.tables[table].columns)


NEEDED_TABLES: Mapping[Kind, tuple[str, ...]] = {
    Kind.ORPHANS: ("similarity_validation_cache", "movies", "series"),
    Kind.EXPIRED_SESSIONS: ("sessions",),
    Kind.STALE_EMBEDDINGS: ("system_settings", "custom_ai_models"),
    Kind.JOB_HISTORY: ("job_runs", "api_errors"),
    Kind.OLD_RUNS: (
        "recommendation_runs",
        "recommendation_candidates",
        "recommendation_evidence",
        "discovery_runs",
        "discovery_candidates",
    ),
    Kind.DEAD_JOBS: ("job_config",),
    Kind.OLD_CACHE: (*REFRESHED_AT, "discovery_pool", "discovery_candidates"),
    Kind.API_ERRORS: ("api_errors",),
}
"""What a kind reads, where this version has it; embedding tables apart."""


def find_doomed(kind: Kind, scene: Scene) -> list[Doomed]:
    """The rows of this kind, table by table; empty where this version has no such table."""
    match kind:
        case Kind.ORPHANS:
            return list(_simple(scene, "similarity_validation_cache", "orphaned_verdicts"))
        case Kind.EXPIRED_SESSIONS:
            return list(_simple(scene, "sessions", "expired_sessions"))
        case Kind.LEGACY_EMBEDDINGS:
            return list(_legacy(scene))
        case Kind.STALE_EMBEDDINGS:
            return list(_stale(scene))
        case Kind.JOB_HISTORY:
            return list(_job_history(scene))
        case Kind.OLD_RUNS:
            return list(_old_runs(scene))
        case Kind.DEAD_JOBS:
            return list(_simple(scene, "job_config", "dead_jobs"))
        case Kind.OLD_CACHE:
            return list(_old_cache(scene))
        case Kind.API_ERRORS:
            return list(_simple(scene, "api_errors", "old_errors"))


def _simple(scene: Scene, table: str, query: str) -> Iterator[Doomed]:
    if table in scene.tables:
        yield Doomed(scene.tables[table], query)


def _legacy(scene: Scene) -> Iterator[Doomed]:
    for embeddings in scene.embedding_tables:
        if embeddings.is_legacy:
            parts = {"table": embeddings.identifier}
            yield Doomed(scene.tables[embeddings.name], "every_row", parts, may_empty=True)


def _stale(scene: Scene) -> Iterator[Doomed]:
    """Nothing is stale as long as it is not known what is in use."""
    if scene.active is None:
        return
    for embeddings in scene.embedding_tables:
        if embeddings.is_legacy:
            continue
        kept = scene.active.is_kept_in(embeddings)
        names = list(scene.active.names_in(embeddings)) if kept else []
        parts = {"table": embeddings.identifier, "models": sql.Literal(names)}
        query = "other_models" if kept else "every_row"
        yield Doomed(scene.tables[embeddings.name], query, parts, may_empty=True)


def _job_history(scene: Scene) -> Iterator[Doomed]:
    if "job_runs" not in scene.tables:
        return
    referenced: sql.Composable = sql.SQL("SELECT NULL::uuid WHERE false")
    if scene.has("api_errors", "job_id"):
        referenced = sql.SQL(queries.load("clean/runs_in_errors"))
    yield Doomed(scene.tables["job_runs"], "job_history", {"referenced": referenced})


def _old_runs(scene: Scene) -> Iterator[Doomed]:
    if scene.has("recommendation_runs", "user_id", "status"):
        keys = ["user_id"]
        if scene.has("recommendation_runs", "media_type"):
            keys.append("media_type")
        run_of = sql.SQL(", ").join(map(sql.Identifier, keys))
        table = scene.tables["recommendation_runs"]
        runs = Doomed(table, "superseded_runs", {"run_of": run_of}, batch_rows=BATCH_RUNS)
        ids = {"runs": runs.select(sql.SQL("doomed.id"))}
        for name, query in (
            ("recommendation_evidence", "superseded_evidence"),
            ("recommendation_candidates", "superseded_candidates"),
        ):
            if name in scene.tables:
                yield Doomed(scene.tables[name], query, ids, goes_with=table.name)
        yield runs
    if scene.has("discovery_runs", "media_type") and scene.has("discovery_candidates", "run_id"):
        yield Doomed(scene.tables["discovery_runs"], "superseded_discovery_runs")


def _old_cache(scene: Scene) -> Iterator[Doomed]:
    for name, column in REFRESHED_AT.items():
        if scene.has(name, column):
            table = scene.tables[name]
            parts = {"table": table.identifier, "refreshed_at": sql.Identifier(column)}
            yield Doomed(table, "old_rows", parts)
    if scene.has("discovery_pool", "updated_at") and scene.has("discovery_candidates", "pool_id"):
        yield Doomed(scene.tables["discovery_pool"], "old_pool_rows")
