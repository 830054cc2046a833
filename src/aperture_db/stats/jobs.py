"""What the media server reported to the jobs that sync it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from aperture_db import sql as queries
from aperture_db.aperture import jobs
from aperture_db.postgres.connection import Connection


@dataclass(frozen=True)
class JobResult:
    """The newest run of a job, and what its newest completed run reported."""

    job_name: str
    last_status: str | None
    """completed, failed or cancelled; None when there is no run."""
    last_started_at: datetime | None
    completed_at: datetime | None
    items_total: int | None
    total_series: int | None
    """Only of sync-series, as total_episodes."""
    total_episodes: int | None

    @property
    def has_failed_since(self) -> bool:
        return self.last_status == "failed"


STATS_JOBS = (
    jobs.SYNC_MOVIES,
    jobs.SYNC_SERIES,
    jobs.SYNC_USERS,
    jobs.GENERATE_MOVIE_EMBEDDINGS,
    jobs.GENERATE_SERIES_EMBEDDINGS,
)


def read_job_results(conn: Connection) -> dict[str, JobResult]:
    """By name of the job. Needs SELECT on job_runs."""
    with conn.cursor(row_factory=class_row(JobResult)) as cursor:
        rows = cursor.execute(queries.load("stats/job_results"), {"jobs": list(STATS_JOBS)})
        return {result.job_name: result for result in rows}
