"""Aperture's schema: where it is, its known issues, and its tables of embeddings.

Aperture names its tables without a schema, so the path of its role decides where they are. The
tool finds the place once per connection and names it in every query of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from psycopg import sql

from aperture_db import sql as queries
from aperture_db.aperture.kinds import EMBEDDING_TABLE, MEDIA_TABLES, Media
from aperture_db.aperture.tables import CORE_TABLES, MIGRATIONS_TABLE, is_aperture
from aperture_db.format import quote_identifier
from aperture_db.postgres.catalog import Table
from aperture_db.postgres.session import Connection
from aperture_db.sql import load

KEPT_TABLES = ("kept_rows", "kept_titles", "kept_users")
"""The tables of what a purge has kept for its users, in the tool's own schema."""


@dataclass(frozen=True)
class Location:
    """The schemas that hold tables of Aperture."""

    schema: str
    """The one that the tool works with: Aperture's, or where its tables would be created."""
    is_found: bool
    """Aperture's tables are there."""
    others: tuple[str, ...]
    """Further schemas with tables of Aperture, on the search_path or not."""


def locate(conn: Connection) -> Location:
    """Find Aperture's schema, and make `conn` name it. Needs no privilege.

    Without tables on the path it is the first schema of the path, as for CREATE TABLE. A schema
    that the role may not enter drops out of its path, and still is where the tables are.
    """
    path = conn.original_path
    rows = conn.execute(
        load("aperture/landmarks"), {"names": [MIGRATIONS_TABLE, *CORE_TABLES]}
    ).fetchall()
    holders = [schema for schema, names in rows if is_aperture(names)]
    on_path = [schema for schema in (*path.schemas, *path.named) if schema in holders]
    schema = next(iter([*on_path, *path.schemas, *path.named]), "public")
    conn.schema = schema
    return Location(schema, bool(on_path), tuple(each for each in holders if each != schema))


def describe_encoding(conn: Connection) -> str | None:
    """What the database's encoding means for Aperture; None for UTF8, which it needs."""
    encoding = conn.info.parameter_status("server_encoding")
    if encoding == "UTF8":
        return None
    if encoding == "SQL_ASCII":
        return (
            "the database's encoding is SQL_ASCII: bytes that are no text at all can be stored, "
            "and searches know no letters but those of ASCII"
        )
    return (
        f"the database's encoding is {encoding}: a title with a letter that it lacks can't be "
        "stored, and Aperture's sync fails there"
    )


OWN_SCHEMA = "aperture_db"
"""The tool's own, apart from everything of Aperture's. It is created on first use."""


def create_schema(conn: Connection) -> None:
    """Create the schema unless it exists, within the open transaction.

    Needs CREATE on the database the first time. Until the transaction ends, others who want to
    create something in the schema wait.
    """
    conn.execute(load("postgres/lock_own_schema"))
    exists = conn.execute(load("postgres/own_schema_exists")).fetchone()
    if exists != (True,):
        conn.execute(load("postgres/create_own_schema"))


def own_tables(conn: Connection) -> frozenset[str]:
    """The names of the tables in the schema; none where it was never created."""
    return frozenset(name for (name,) in conn.execute(load("postgres/own_tables")))


def missing_grant(conn: Connection, tables: Iterable[str]) -> str | None:
    """What lets the role write to these tables of the schema, or create them; None when it may."""
    row = conn.execute(load("postgres/own_schema_privileges"), {"tables": list(tables)}).fetchone()
    assert row is not None
    role, database, exists, may_create_schema, may_create_tables, has_all, may_write = row
    user = quote_identifier(role)
    if not exists:
        if may_create_schema:
            return None
        return f"GRANT CREATE ON DATABASE {quote_identifier(database)} TO {user};"
    if not has_all and not may_create_tables:
        return f"GRANT USAGE, CREATE ON SCHEMA {OWN_SCHEMA} TO {user};"
    if not may_write:
        return (
            f"GRANT USAGE ON SCHEMA {OWN_SCHEMA} TO {user}; "
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {OWN_SCHEMA} TO {user};"
        )
    return None


@dataclass(frozen=True)
class DefaultRows:
    """Rows of one table that must be there."""

    table: str
    without: str
    """The consequence when they are missing."""
    values: Mapping[str, str]
    """Literals by column; columns that a version lacks are left out."""
    is_vital: bool = False
    """Aperture cannot do its work without them."""
    is_single: bool = True
    """One row with id 1, or else any."""


# Where the value of the migrations is another than the column's default.
_TOP_PICKS = {
    "id": "1",
    "series_use_symlinks": "true",
    "movies_popularity_source": "'emby_history'",
    "series_popularity_source": "'emby_history'",
    "series_min_unique_viewers": "2",
}
PARENTAL_RATINGS = (
    ("G", 1), ("TV-Y", 1), ("TV-Y7", 2), ("TV-G", 3), ("PG", 4), ("TV-PG", 5), ("PG-13", 7),
    ("TV-14", 8), ("R", 9), ("TV-MA", 10), ("NC-17", 11), ("NR", 100), ("Unrated", 100),
)  # fmt: skip
"""The rows of parental_rating_values: name and value, all of the country US."""

DEFAULT_ROWS = (
    DefaultRows(
        "recommendation_config", "recommendations can't be made", {"id": "1"}, is_vital=True
    ),
    DefaultRows("top_picks_config", "Top Picks can't be made", _TOP_PICKS, is_vital=True),
    DefaultRows("backup_config", "backups are not recorded", {"id": "1"}),
    DefaultRows("setup_progress", "the setup wizard starts again", {"id": "1"}),
    DefaultRows(
        "parental_rating_values",
        "the parental filter lets everything through",
        {},
        is_single=False,
    ),
)

DEFAULT_BACKUP_PATH = "/backups"
"""backup_config.backup_path, as seen from inside Aperture's container."""
DEFAULT_BACKUP_RETENTION = 7
"""backup_config.retention_count."""


UNINDEXED_FOREIGN_KEYS = frozenset(
    {
        ("api_errors", "api_errors_job_id_fkey"),
        ("discovery_requests", "discovery_requests_discovery_candidate_id_fkey"),
        ("playlists", "playlists_channel_share_id_fkey"),
        ("recommendation_evidence", "recommendation_evidence_similar_movie_id_fkey"),
        ("recommendation_runs", "recommendation_runs_channel_id_fkey"),
    }
)
"""Table and name of foreign keys that no index serves."""

DUPLICATE_INDEXES = frozenset(
    {
        "idx_api_keys_key_hash",
        "idx_collections_tmdb_id",
        "idx_discovery_pool_media_tmdb",
        "idx_parental_rating_values_name",
        "idx_similarity_cache_lookup",
        "idx_user_preferences_user_id",
        "idx_user_settings_user_id",
        "idx_watch_history_user_episode_composite",
    }
)
"""Indexes that equal another one; a constraint's, or one with another name."""


@dataclass(frozen=True)
class KnownDrift:
    """A column that an early release of a migration did not make."""

    table: str
    column: str
    marker: str
    """Another column that the same migration makes."""
    definition: str


KNOWN_DRIFT = (
    KnownDrift(
        "user_taste_profiles",
        "min_franchise_size",
        "min_franchise_items",
        "integer NOT NULL DEFAULT 2",
    ),
)


DEFAULT_MODEL = "text-embedding-3-large"
# Those that Aperture 0.7.8 knows; every other model is in custom_ai_models.
KNOWN_DIMENSIONS = {
    "openai:text-embedding-3-large": 3072,
    "openai:text-embedding-3-small": 1536,
    "google:gemini-embedding-001": 3072,
    "ollama:nomic-embed-text": 768,
    "ollama:nomic-embed-text-v2-moe": 768,
    "ollama:mxbai-embed-large": 1024,
}
CUSTOM_MODEL_PROVIDERS = ("ollama", "openai-compatible", "openrouter")
FREE_PROVIDERS = ("ollama", "openai-compatible")
"""Their models run on the administrator's own machine."""


@dataclass(frozen=True)
class EmbeddingTable:
    """A table of embeddings: one per kind and dimension, from migration 0078 on."""

    oid: int
    schema: str
    name: str
    media: Media
    dimension: int | None
    """Of the vectors; None where the column does not fix it."""
    is_legacy: bool
    """Left over by migration 0078: nothing reads it."""
    is_undivided: bool
    """The one table per kind from before 0078, whatever the model."""

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    @property
    def item_column(self) -> str:
        """The foreign key to the film, series or episode."""
        return f"{self.media}_id"


@dataclass(frozen=True)
class ActiveModel:
    """The embedding model that Aperture is configured to use."""

    provider: str | None
    """None before migration 0075, when there was only OpenAI and no name for it."""
    model: str
    dimension: int | None = None
    """None where neither Aperture nor an administrator says."""

    @property
    def id(self) -> str:
        """As `model` has it in the embedding tables."""
        return f"{self.provider}:{self.model}" if self.provider else self.model

    def is_kept_in(self, table: EmbeddingTable) -> bool:
        """Aperture reads this model's embeddings from `table`."""
        if table.is_legacy:
            return False
        return table.is_undivided or self.dimension in (None, table.dimension)

    def names_in(self, table: EmbeddingTable) -> tuple[str, ...]:
        """The values of `model` in its rows there; until 0077 names had no provider."""
        return (self.id, self.model) if table.is_undivided else (self.id,)


def read_embedding_tables(conn: Connection) -> list[EmbeddingTable]:
    """Those that exist, ordered by kind and dimension, the legacy ones last in their kind."""
    rows = conn.execute(queries.compose("aperture/embedding_tables")).fetchall()
    tables = [_embedding_table(*row) for row in rows]
    order = list(Media)
    return sorted(
        tables, key=lambda table: (order.index(table.media), table.is_legacy, table.dimension or 0)
    )


def _embedding_table(oid: int, schema: str, name: str, vector_type: str) -> EmbeddingTable:
    match = EMBEDDING_TABLE.fullmatch(name)
    assert match is not None, name
    dimension = re.search(r"\((\d+)\)", vector_type)
    return EmbeddingTable(
        oid=oid,
        schema=schema,
        name=name,
        media=Media((match["media"] or "movie").rstrip("_")),
        dimension=int(dimension[1]) if dimension else None,
        is_legacy=match["legacy"] is not None,
        is_undivided=match["dimension"] is None and match["legacy"] is None,
    )


def read_active_model(
    conn: Connection, embedding_tables: Iterable[EmbeddingTable], readable: Mapping[str, Table]
) -> ActiveModel | None:
    """The configured model; None when none is configured or known.

    `readable`: tables with SELECT on them, by name. Settings are in system_settings, the
    dimensions of models of one's own, from migration 0091 on, in custom_ai_models.
    """
    if "system_settings" not in readable:
        return None
    keys = ["ai_config", "openai_api_key", "embedding_model"]
    rows = conn.execute(queries.compose("aperture/settings"), {"keys": keys}).fetchall()
    is_undivided = any(table.is_undivided for table in embedding_tables)
    active = configured_model(dict(rows), is_undivided=is_undivided)
    if active is None:
        return None
    if dimension := KNOWN_DIMENSIONS.get(f"{active.provider or 'openai'}:{active.model}"):
        return replace(active, dimension=dimension)
    custom_models = readable.get("custom_ai_models")
    if (
        active.provider in CUSTOM_MODEL_PROVIDERS
        and custom_models is not None
        and "embedding_dimensions" in custom_models.columns
    ):
        parameters = {"provider": active.provider, "model": active.model}
        row = conn.execute(
            queries.compose("aperture/custom_model_dimension"), parameters
        ).fetchone()
        return replace(active, dimension=row[0] if row else None)
    return active


def configured_model(settings: Mapping[str, str], *, is_undivided: bool) -> ActiveModel | None:
    """The model that these rows of system_settings name.

    Without a readable ai_config, Aperture makes one from the OpenAI key and `embedding_model`.
    `is_undivided`: the database is older than 0078, where there may be no ai_config yet.
    """
    try:
        config = json.loads(settings.get("ai_config", ""))
    except ValueError:
        config = None
    if isinstance(config, dict):
        embeddings = config.get("embeddings")
        if not isinstance(embeddings, dict):
            return None
        provider, model = embeddings.get("provider"), embeddings.get("model")
        return ActiveModel(str(provider), str(model)) if provider and model else None
    if is_undivided and (model := settings.get("embedding_model")):
        return ActiveModel(None, model)
    if settings.get("openai_api_key"):
        return ActiveModel("openai", settings.get("embedding_model") or DEFAULT_MODEL)
    return None


def has_kept_tables(conn: Connection) -> bool:
    """Whether anything was ever kept in this database."""
    return own_tables(conn) >= set(KEPT_TABLES)


def count_waiting(conn: Connection, tables: Mapping[str, Table]) -> int:
    """Rows of users that wait to be put back; those that were kept in place and still are do not
    wait. `tables` are Aperture's by name. Needs SELECT on the kept tables and on those of titles;
    0 where nothing was ever kept."""
    if not has_kept_tables(conn):
        return 0
    titles = [tables[name] for name in MEDIA_TABLES.values() if name in tables]
    is_gone = sql.SQL(" AND ").join(
        sql.SQL("NOT EXISTS (SELECT FROM {} AS t WHERE t.id = title.old_id)").format(
            table.identifier
        )
        for table in titles
    )
    query = sql.SQL(load("relink/count_waiting")).format(is_gone=is_gone)
    row = conn.execute(query).fetchone()
    assert row is not None
    return int(row[0])
