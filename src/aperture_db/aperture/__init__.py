"""Everything that is true of Aperture and not of PostgreSQL, in one place.

Knowledge of Aperture 0.7.8 and every version before it; nothing here writes. The rooms read it and
name no table of Aperture in a list of their own:

- `TABLES` and `table_named(name)`: one `ApertureTable` per table (group, makers, what is lost with
  its rows, loose references, age). `tables.py` is the place to add a table of a new migration; from
  its entry alone the table appears in the plans of purge, in stats and in clean.
- `JOBS`: the jobs in the order in which they build on each other; `KNOWN_JOBS`, `DEAD_JOBS`.
- `SYNC_MARKS`, `DEFAULT_ROWS`, `DUPLICATE_INDEXES`, `UNINDEXED_FOREIGN_KEYS`.
- `read_embedding_tables`, `read_active_model`: what this database has, and what it uses.
"""

from aperture_db.aperture.kinds import (
    COLLECTION_TYPES,
    CUSTOM_MODEL_PROVIDERS,
    DEAD_JOBS,
    DEAD_JOBS_MARK,
    DEFAULT_BACKUP_PATH,
    DEFAULT_BACKUP_RETENTION,
    DEFAULT_ROWS,
    DUPLICATE_INDEXES,
    FREE_PROVIDERS,
    JOBS,
    KNOWN_JOBS,
    MEDIA_TABLES,
    PARENTAL_RATINGS,
    RUN_TABLES,
    SYNC_MARKS,
    UNINDEXED_FOREIGN_KEYS,
    ApertureJob,
    ApertureTable,
    DefaultRows,
    Group,
    LooseReference,
    LostData,
    Maker,
    Media,
    SyncMark,
)
from aperture_db.aperture.schema import (
    ActiveModel,
    EmbeddingTable,
    read_active_model,
    read_embedding_tables,
)
from aperture_db.aperture.tables import (
    CONSULTED_TABLES,
    FUNCTIONS,
    MIGRATIONS_TABLE,
    TABLES,
    group_of,
    is_aperture,
    table_named,
)

__all__ = [
    "COLLECTION_TYPES",
    "CONSULTED_TABLES",
    "CUSTOM_MODEL_PROVIDERS",
    "DEAD_JOBS",
    "DEAD_JOBS_MARK",
    "DEFAULT_BACKUP_PATH",
    "DEFAULT_BACKUP_RETENTION",
    "DEFAULT_ROWS",
    "DUPLICATE_INDEXES",
    "FREE_PROVIDERS",
    "FUNCTIONS",
    "JOBS",
    "KNOWN_JOBS",
    "MEDIA_TABLES",
    "MIGRATIONS_TABLE",
    "PARENTAL_RATINGS",
    "RUN_TABLES",
    "SYNC_MARKS",
    "TABLES",
    "UNINDEXED_FOREIGN_KEYS",
    "ActiveModel",
    "ApertureJob",
    "ApertureTable",
    "DefaultRows",
    "EmbeddingTable",
    "Group",
    "LooseReference",
    "LostData",
    "Maker",
    "Media",
    "SyncMark",
    "group_of",
    "is_aperture",
    "read_active_model",
    "read_embedding_tables",
    "table_named",
]
