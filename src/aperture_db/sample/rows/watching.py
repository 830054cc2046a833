"""Watch history, ratings, and the shows that users follow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from aperture_db.sample.people import SampleUser
from aperture_db.sample.tables import Row, TableRows
from aperture_db.sample.titles import Film, Title
from aperture_db.sample.viewing import Watch
from aperture_db.sample.world import World

TICKS_PER_MINUTE = 60 * 10_000_000
MAX_FOLLOWED_SHOWS = 4


def tables(world: World) -> Iterator[TableRows]:
    yield TableRows("watch_history", (_watch(world, watch) for watch in world.viewing.watches))
    yield TableRows("user_ratings", _ratings(world))
    yield TableRows("user_watching_series", _followed(world))


def _watch(world: World, watch: Watch) -> Row:
    is_finished = watch.play_count > 0
    length_ticks = watch.title.minutes * TICKS_PER_MINUTE
    return {
        "id": world.new_id(),
        "created_at": watch.last_played_at,
        "updated_at": watch.last_played_at,
        "user_id": watch.user.id,
        "movie_id": None if watch.episode else watch.title.id,
        "episode_id": watch.episode.id if watch.episode else None,
        "media_type": "episode" if watch.episode else "movie",
        "play_count": watch.play_count,
        "played": is_finished,
        "last_played_at": watch.last_played_at,
        "is_favorite": watch.is_favorite,
        "playback_position_ticks": 0 if is_finished else length_ticks // 3,
        "runtime_ticks": length_ticks,
    }


def _ratings(world: World) -> Iterator[Row]:
    """A user's ratings of a part of what was watched; on Trakt where the user has an account."""
    for user in world.enabled_users:
        share = 0.45 if user.role.has_trakt else 0.15
        titles: list[Title] = [*world.viewing.films_of(user), *world.viewing.shows_of(user)]
        for title in titles:
            if world.rng.random() < share:
                yield _rating(world, user, title)


def _rating(world: World, user: SampleUser, title: Title) -> Row:
    rated_at = world.clock.moment(world.rng, title.added_at)
    opinion = 2.5 + 4.5 * user.affinity(title) + 0.3 * title.score + world.rng.gauss(0, 1)
    is_manual = not user.role.has_trakt or world.rng.random() < 0.2
    return {
        "id": world.new_id(),
        "created_at": rated_at,
        "updated_at": rated_at,
        "user_id": user.id,
        "movie_id": title.id if isinstance(title, Film) else None,
        "series_id": None if isinstance(title, Film) else title.id,
        "rating": max(1, min(10, round(opinion))),
        "source": "manual" if is_manual else "trakt",
    }


def _followed(world: World) -> Iterator[Row]:
    for user in world.enabled_users:
        running = [show for show in world.viewing.shows_of(user) if show.end_year is None]
        for show in (running or world.viewing.shows_of(user))[:MAX_FOLLOWED_SHOWS]:
            yield {
                "id": world.new_id(),
                "user_id": user.id,
                "series_id": show.id,
                "added_at": world.clock.moment(
                    world.rng, show.added_at, world.now - timedelta(days=1)
                ),
            }
