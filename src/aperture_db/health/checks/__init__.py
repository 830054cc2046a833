"""All checks, in the order in which they run and are shown; one module for each area."""

from __future__ import annotations

from aperture_db.health.check import Check
from aperture_db.health.checks import aperture, connection, integrity, jobs, queries, storage

CHECKS: tuple[Check, ...] = (
    connection.reachable,
    connection.latency,
    connection.tls,
    connection.server_version,
    connection.writable,
    connection.connections,
    connection.idle_in_transaction,
    connection.blocked_queries,
    connection.long_transactions,
    queries.slow_statements,
    queries.cache_hit_ratio,
    queries.sequential_scans,
    queries.foreign_key_indexes,
    queries.invalid_indexes,
    queries.duplicate_indexes,
    storage.growth,
    storage.dead_rows,
    storage.bloat,
    storage.wraparound,
    storage.legacy_embeddings,
    storage.stale_embeddings,
    integrity.orphaned_rows,
    integrity.constraints,
    integrity.collation_version,
    integrity.checksums,
    aperture.required_extensions,
    aperture.migrations,
    aperture.schema_drift,
    aperture.default_rows,
    aperture.embedding_coverage,
    jobs.failed_jobs,
    jobs.unknown_jobs,
    jobs.backup_age,
    jobs.restore_drill,
    jobs.kept_data,
    jobs.expired_sessions,
    aperture.work_mem,
    aperture.maintenance_work_mem,
    aperture.shared_buffers,
    aperture.autovacuum,
)
