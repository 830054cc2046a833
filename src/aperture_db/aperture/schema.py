"""Aperture's schema: where it is, its known issues, and its tables of embeddings.

Aperture names its tables without a schema, so the path of its role decides where they are. The
tool finds the place once per connection and names it in every query of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from psycopg import sql
from psycopg.rows import tuple_row

from aperture_db import sql as queries
from aperture_db.aperture.kinds import (
    CUSTOM_MODEL_PROVIDERS,
    DEFAULT_MODEL,
    EMBEDDING_TABLE,
    KNOWN_DIMENSIONS,
    MEDIA_TABLES,
    Media,
)
from aperture_db.aperture.tables import CORE_TABLES, MIGRATIONS_TABLE, is_aperture
from aperture_db.errors import UsageError
from aperture_db.format import quote_identifier
from aperture_db.postgres.catalog import Table
from aperture_db.postgres.session import SYSTEM_SCHEMA, Connection, OriginalPath
from aperture_db.sql import load

REQUIRED_EXTENSIONS = ("vector", "pgcrypto", "pg_trgm")
"""The search_path must reach them, as it must Aperture's tables."""
NO_PATH = OriginalPath("", ())


@dataclass(frozen=True)
class Surroundings:
    """The session of a `Location`: its path, and what a statement that changes it names."""

    path: OriginalPath = NO_PATH
    role: str = ""
    """The role whose privileges apply."""
    login_role: str = ""
    """The role whose settings apply."""
    database: str = ""
    is_standby: bool = False
    is_set_by_client: bool = False
    """The connection string sets the path, over every setting of the server."""
    extension_schemas: tuple[str, ...] = ()
    """Of Aperture's extensions, without PostgreSQL's own schema."""
    schemas: frozenset[str] = frozenset()
    """All that exist, without PostgreSQL's own."""
    closed: frozenset[str] = frozenset()
    """Those of them on which the role lacks USAGE."""


@dataclass(frozen=True)
class Location:
    """The schemas that hold tables of Aperture."""

    schema: str
    """The one that the tool works with: Aperture's, or where its tables would be created."""
    is_found: bool
    """Aperture's tables are there."""
    others: tuple[str, ...]
    """Further schemas with tables of Aperture, on the search_path or not."""
    session: Surroundings = field(default_factory=Surroundings, compare=False)

    @property
    def _holders(self) -> list[str]:
        """All schemas with tables of Aperture."""
        return sorted({*self.others, *([self.schema] if self.is_found else ())})

    def find_trouble(self, *, creates: bool = False) -> UsageError | None:
        """The reason why this is not the one place of Aperture, with the way out; None if it is.

        With `creates`, new tables must be created there, too.
        """
        holders, setting = self._holders, self.session.path.setting or '""'
        if len(holders) > 1:
            using = f"this session would use {self.schema}"
            if not self.is_found:
                using = f"none of them is in search_path, which is {setting}"
            return UsageError(
                f"{len(holders)} schemas hold Aperture's tables: {', '.join(holders)}",
                why=f"{using}; a migration must have been run with another search_path",
                next_step="find out which one Aperture uses, back up the database "
                "(aperture-db backup), then drop the other one",
                code="two_apertures",
            )
        if not holders or (self.is_found and not creates):
            return None
        (holder,) = holders
        if holder == self.session.path.creation_schema:
            return None
        what = f"Aperture's tables are in schema {holder}, which is not in the search_path"
        if self.is_found:
            where = self.session.path.creation_schema or "no schema"
            what = f"Aperture's tables are in schema {holder}, new ones would be created in {where}"
        why = f"the search_path of role {self.session.login_role} is {setting}"
        if holder in self.session.closed:
            why += f", and role {self.session.role} lacks USAGE on schema {holder}"
        return UsageError(what, why=why, next_step=self.advise_path(), code="not_on_search_path")

    def advise_path(self) -> str:
        """The statements after which the path begins with Aperture's schema and reaches its
        extensions, or a sentence where it is not the server that sets it. Empty if it does."""
        session, first = self.session, None
        if len(self._holders) == 1:
            first = self._holders[0]
        elif self.session.path.creation_schema is None:
            first = "public"
        needed = dict.fromkeys([*([first] if first else ()), *session.extension_schemas])
        closed = [name for name in needed if name in session.closed]
        entries = session.path.entries
        # As it will be after the first statements.
        missing = [name for name in needed if name not in session.schemas]
        there = (name for name in (*missing, *closed) if name in entries)
        opened = replace(session.path, schemas=(*session.path.schemas, *there))
        path = list(entries)
        if first and first != opened.creation_schema:
            path = [first, *(name for name in path if name != first)]
        path += [name for name in needed if name not in path and name not in opened.schemas]
        steps = [f"CREATE SCHEMA {quote_identifier(name)};" for name in missing]
        steps += [
            f"GRANT USAGE ON SCHEMA {quote_identifier(name)} TO {quote_identifier(session.role)};"
            for name in closed
        ]
        if path != list(entries):
            steps.append(self._set_path(path))
        who = "as the owner or a superuser run: " if len(steps) > (path != list(entries)) else ""
        where = "on the primary server: " if session.is_standby and steps else ""
        return where + who + " ".join(steps)

    def _set_path(self, path: Sequence[str]) -> str:
        names = [name if name == "public" else quote_identifier(name) for name in path]
        if self.session.is_set_by_client:
            return (
                "set it in the options of the connection string (PGOPTIONS) to "
                f"-c search_path={','.join(names)}"
            )
        role = quote_identifier(self.session.login_role)
        database = quote_identifier(self.session.database)
        return f"ALTER ROLE {role} IN DATABASE {database} SET search_path = {', '.join(names)};"


def locate(conn: Connection) -> Location:
    """Find Aperture's schema, and make `conn` name it. Needs no privilege.

    Without tables on the path it is the first schema of the path, as for CREATE TABLE. A schema
    that the role may not enter drops out of its path, and still is where the tables are.
    """
    query = queries.compose(
        "aperture/landmarks",
        names=sql.Literal([MIGRATIONS_TABLE, *CORE_TABLES]),
        extensions=sql.Literal(list(REQUIRED_EXTENSIONS)),
    )
    rows = conn.ask(query, tuple_row).fetchall()
    path = conn.original_path
    holders = [row[0] for row in rows if is_aperture(row[1])]
    on_path = [schema for schema in (*path.schemas, *path.named) if schema in holders]
    usable = [name for name in (*path.schemas, *path.named) if not SYSTEM_SCHEMA.match(name)]
    schema = next(iter([*on_path, *usable]), "public")
    conn.schema = schema
    role, login_role, database, is_standby = rows[0][4:]
    session = Surroundings(
        path=path,
        role=role,
        login_role=login_role,
        database=database,
        is_standby=is_standby,
        is_set_by_client="search_path" in conn.info.options,
        extension_schemas=tuple(row[0] for row in rows if row[2]),
        schemas=frozenset(row[0] for row in rows if row[0]),
        closed=frozenset(row[0] for row in rows if row[0] and not row[3]),
    )
    others = tuple(each for each in holders if each != schema)
    return Location(schema, bool(on_path), others, session)


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


KEPT_TABLES = ("kept_rows", "kept_titles", "kept_users")
"""The tables of what a purge has kept for its users, in the tool's own schema."""
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
