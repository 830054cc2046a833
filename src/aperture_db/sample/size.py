"""How much a sample library holds."""

from __future__ import annotations

from dataclasses import dataclass

SUPPORTED_DIMENSIONS = (256, 384, 512, 768, 1024, 1536, 3072, 4096)
MIN_MOVIES, MIN_SERIES, MIN_USERS = 20, 4, 4


@dataclass(frozen=True)
class SampleSize:
    """Numbers of rows. The defaults make the library that `aperture-db demo` shows.

    Raises ValueError for less than the smallest library that has something of everything.
    """

    movies: int = 296
    series: int = 42
    episodes_per_series: int | None = None
    """None: as many as the known series really have, and 6 to 60 for invented ones."""
    users: int = 8
    watch_records: int = 2_400
    """At most; users who watch nothing and the end of the library limit it."""
    dimension: int = 768
    """Of the embeddings; decides the embedding tables and the active model."""
    runs_per_user: int = 3
    """Recommendation runs of a user per media type, the newest of last Sunday."""
    movie_candidates: int = 100
    """Per run. Runs for series keep every series, as the app does."""
    job_days: int = 10
    """How far back the job history goes."""

    def __post_init__(self) -> None:
        if self.movies < MIN_MOVIES or self.series < MIN_SERIES or self.users < MIN_USERS:
            raise ValueError(
                f"a sample library needs {MIN_MOVIES} movies, {MIN_SERIES} series, "
                f"{MIN_USERS} users"
            )
        if self.dimension not in SUPPORTED_DIMENSIONS:
            raise ValueError(f"no embedding table has {self.dimension} dimensions")


DEMO_SIZE = SampleSize()

TEST_SIZE = SampleSize(
    movies=60, series=8, episodes_per_series=6, watch_records=300, dimension=256,
    runs_per_user=2, movie_candidates=20, job_days=1,
)  # fmt: skip
"""Something of everything, for tests."""

LARGE_SIZE = SampleSize(
    movies=20_000, series=1_000, episodes_per_series=60, watch_records=280_000,
    runs_per_user=20, job_days=90,
)  # fmt: skip
"""A big household's library: 60,000 episodes and about 116,000 recommendation candidates."""
