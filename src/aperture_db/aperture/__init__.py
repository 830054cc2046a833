"""What Aperture keeps in its database: its tables, embeddings, models, sync marks and jobs.

Knowledge of Aperture 0.7.8 and every version before it; nothing here writes.
"""

from aperture_db.aperture.embeddings import (
    CUSTOM_MODEL_PROVIDERS,
    ActiveModel,
    EmbeddingTable,
    Media,
    read_active_model,
    read_embedding_tables,
)
from aperture_db.aperture.flaws import DUPLICATE_INDEXES, UNINDEXED_FOREIGN_KEYS
from aperture_db.aperture.jobs import DEAD_JOBS, KNOWN_JOBS
from aperture_db.aperture.sync import SYNC_MARKS, SyncMark
from aperture_db.aperture.tables import FUNCTIONS, TABLE_GROUPS, Group, group_of, is_aperture

__all__ = [
    "CUSTOM_MODEL_PROVIDERS",
    "DEAD_JOBS",
    "DUPLICATE_INDEXES",
    "FUNCTIONS",
    "KNOWN_JOBS",
    "SYNC_MARKS",
    "TABLE_GROUPS",
    "UNINDEXED_FOREIGN_KEYS",
    "ActiveModel",
    "EmbeddingTable",
    "Group",
    "Media",
    "SyncMark",
    "group_of",
    "is_aperture",
    "read_active_model",
    "read_embedding_tables",
]
