"""Rows of users: accounts, tastes, watch history and ratings. Keys and tokens are not real."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from pgvector import HalfVector
from psycopg.types.json import Jsonb

from aperture_db.sample.people import NEUTRAL, SampleUser, Watch
from aperture_db.sample.rows import Row, TableRows, exact
from aperture_db.sample.titles import Film, Title
from aperture_db.sample.world import TASTE_NOISE, World

NO_TOKEN = "not-a-real-token"  # noqa: S105
SESSION_LIFETIME = timedelta(days=30)
API_KEYS = (("Home dashboard", 120, False), ("Old phone", 300, True))
"""Name, age in days, whether it is revoked."""
TICKS_PER_MINUTE = 60 * 10_000_000
MAX_FOLLOWED_SHOWS = 4
INTERESTS = ("slow-burning science fiction", "films about music", "heists that go wrong")
ALGORITHM_SETTINGS = {
    "enabled": True,
    "movie": {"similarityWeight": 0.5, "noveltyWeight": 0.2},
    "series": {"similarityWeight": 0.4, "noveltyWeight": 0.3},
}


def account_tables(world: World) -> Iterator[TableRows]:
    yield TableRows("users", (_user(world, user) for user in world.users))
    yield TableRows("user_settings", (_settings(world, user) for user in world.enabled_users))
    yield TableRows("sessions", _sessions(world))
    yield TableRows("api_keys", _api_keys(world))


def _user(world: World, user: SampleUser) -> Row:
    role, now = user.role, world.now
    return {
        "id": user.id,
        "created_at": world.clock.library_start,
        "updated_at": now - timedelta(minutes=20),
        "provider": "jellyfin",
        "provider_user_id": user.provider_user_id,
        "username": role.username,
        "display_name": role.username.title(),
        "email": f"{role.username}@example.org" if user.number < 3 else None,
        "is_admin": role.is_admin,
        "is_enabled": role.is_enabled,
        "movies_enabled": role.is_enabled and role.sees_movies,
        "series_enabled": role.is_enabled and role.sees_series,
        "provider_disabled": not role.is_enabled,
        "provider_access_token": NO_TOKEN if role.is_enabled else None,
        "max_parental_rating": role.max_parental_rating,
        "watch_history_synced_at": now - timedelta(minutes=50) if role.is_enabled else None,
        "series_watch_history_synced_at": now - timedelta(minutes=35) if role.is_enabled else None,
        "can_manage_watch_history": role.is_admin,
        "ai_explanation_enabled": True if user.number == 1 else None,
        "discover_enabled": role.is_enabled and role.max_parental_rating is None,
        "discover_request_enabled": role.is_admin,
        "trakt_username": f"{role.username}-films" if role.has_trakt else None,
        "trakt_access_token": NO_TOKEN if role.has_trakt else None,
        "trakt_refresh_token": NO_TOKEN if role.has_trakt else None,
        "trakt_token_expires_at": now + timedelta(days=60) if role.has_trakt else None,
        "trakt_synced_at": now - timedelta(hours=4) if role.has_trakt else None,
        "seerr_user_id": user.number + 1 if role.is_admin else None,
    }


def _settings(world: World, user: SampleUser) -> Row:
    name = user.name.title()
    return {
        "id": world.new_id(),
        "created_at": world.clock.library_start,
        "updated_at": world.now - timedelta(days=12),
        "user_id": user.id,
        "library_name": f"{name}'s film picks" if user.role.is_admin else None,
        "series_library_name": f"{name}'s series picks" if user.role.is_admin else None,
        "settings_json": Jsonb(
            {
                "ui": {
                    "viewModes": {"movies": "grid", "series": "list"},
                    "browseSort": {"movies": {"sortBy": "title", "sortOrder": "asc"}},
                    "browseFilterPresets": [
                        {"name": "Short evenings", "type": "movies", "filters": {"maxRuntime": 95}}
                    ],
                    "uiLanguage": "en",
                    "aiLanguage": "en",
                }
            }
        ),
    }


def _sessions(world: World) -> Iterator[Row]:
    """A login of this week for every user, and an expired one that nobody came back with."""
    ages = [(user, timedelta(days=1 + user.number % 6)) for user in world.enabled_users]
    ages.append((world.enabled_users[0], timedelta(days=75)))
    for user, age in ages:
        yield {
            "id": world.new_id(),
            "user_id": user.id,
            "created_at": world.now - age,
            "expires_at": world.now - age + SESSION_LIFETIME,
            "data": Jsonb({}),
        }


def _api_keys(world: World) -> Iterator[Row]:
    for name, age_days, is_revoked in API_KEYS:
        created = world.now - timedelta(days=age_days)
        yield {
            "id": world.new_id(),
            "user_id": world.users[0].id,
            "name": name,
            "key_hash": hashlib.sha256(f"no key has this hash: {name}".encode()).hexdigest(),
            "key_prefix": f"sample{len(name):02d}",
            "expires_at": None,
            "created_at": created,
            "last_used_at": created + timedelta(days=40),
            "revoked_at": created + timedelta(days=41) if is_revoked else None,
        }


def watching_tables(world: World) -> Iterator[TableRows]:
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


def taste_tables(world: World) -> Iterator[TableRows]:
    yield TableRows("user_taste_profiles", _profiles(world))
    yield TableRows("user_preferences", (_preferences(world, u) for u in world.enabled_users))
    yield TableRows("user_franchise_preferences", _franchises(world))
    yield TableRows("user_genre_weights", _genre_weights(world))
    yield TableRows("user_custom_interests", _interests(world))


def taste_vector(world: World, user: SampleUser) -> HalfVector:
    """Near the titles of the genres that the user likes."""
    liked = {name: weight for name, weight in user.genre_weights.items() if weight > NEUTRAL}
    return world.space.near(world.space.center(tuple(liked.items())), TASTE_NOISE)


def _profiles(world: World) -> Iterator[Row]:
    for user in world.enabled_users:
        for media_type in user.media_types:
            is_locked = user.role.has_locked_profile and media_type == "movie"
            updated_at = world.clock.sunday(weeks_ago=20 if is_locked else 0)
            yield {
                "id": world.new_id(),
                "user_id": user.id,
                "media_type": media_type,
                "embedding": taste_vector(world, user),
                "embedding_model": world.model_id,
                "auto_updated_at": updated_at,
                "user_modified_at": updated_at + timedelta(days=1) if is_locked else None,
                "is_locked": is_locked,
                "refresh_interval_days": 14 if user.role.is_admin else 30,
                "created_at": world.clock.library_start,
            }


def _preferences(world: World, user: SampleUser) -> Row:
    made_at = world.clock.sunday()
    liked = user.role.favourite_genres
    synopsis = f"Mostly {', '.join(liked).lower()}." if liked else None
    movies, series = user.role.sees_movies, user.role.sees_series
    return {
        "id": world.new_id(),
        "created_at": world.clock.library_start,
        "updated_at": made_at,
        "user_id": user.id,
        "preferred_genres": list(liked[:2]),
        "excluded_genres": [user.role.disliked_genre] if user.role.disliked_genre else [],
        "novelty_weight": exact(0.3, 2),
        "rating_weight": exact(0.2, 2),
        "settings": Jsonb(
            {"algorithmSettings": ALGORITHM_SETTINGS, "excludedLibraryIds": []}
            if user.role.is_admin
            else {}
        ),
        "include_watched": user.number == 2,
        "dislike_behavior": "penalize" if user.number == 1 else "exclude",
        "taste_embedding": taste_vector(world, user) if movies else None,
        "taste_embedding_updated_at": made_at if movies else None,
        "taste_synopsis": synopsis if movies else None,
        "taste_synopsis_updated_at": made_at if movies and synopsis else None,
        "series_taste_embedding": taste_vector(world, user) if series else None,
        "series_taste_embedding_updated_at": made_at if series else None,
        "series_taste_synopsis": synopsis if series else None,
        "series_taste_synopsis_updated_at": made_at if series and synopsis else None,
    }


def _franchises(world: World) -> Iterator[Row]:
    for user in world.enabled_users:
        seen = Counter(film.collection for film in world.viewing.films_of(user) if film.collection)
        for position, (name, count) in enumerate(seen.most_common(12)):
            yield {
                "id": world.new_id(),
                "user_id": user.id,
                "franchise_name": name,
                "media_type": "movie",
                "preference_score": exact(min(1.0, count / 4), 2),
                "is_user_set": position == 0 and user.role.is_admin,
                "items_watched": count,
                "total_engagement": count * 2,
                "created_at": world.clock.sunday(8),
                "updated_at": world.clock.sunday(),
            }
        yield _followed_franchise(world, user)


def _followed_franchise(world: World, user: SampleUser) -> Row:
    """A series is a franchise of its own."""
    show = world.shows[user.number % len(world.shows)]
    return {
        "id": world.new_id(),
        "user_id": user.id,
        "franchise_name": show.name,
        "media_type": "series",
        "preference_score": exact(0.5, 2),
        "is_user_set": False,
        "items_watched": 1,
        "total_engagement": len(show.episodes),
        "created_at": world.clock.sunday(8),
        "updated_at": world.clock.sunday(),
    }


def _genre_weights(world: World) -> Iterator[Row]:
    for user in world.enabled_users:
        for genre, weight in user.genre_weights.items():
            if weight != NEUTRAL:
                yield {
                    "id": world.new_id(),
                    "user_id": user.id,
                    "genre": genre,
                    "weight": exact(2 * weight, 2),
                    "is_user_set": genre == user.role.disliked_genre,
                    "created_at": world.clock.sunday(8),
                    "updated_at": world.clock.sunday(),
                }


def _interests(world: World) -> Iterator[Row]:
    for user, text in zip(world.enabled_users, INTERESTS, strict=False):
        yield {
            "id": world.new_id(),
            "user_id": user.id,
            "interest_text": text,
            "embedding": taste_vector(world, user),
            "embedding_model": world.model_id,
            "weight": exact(1, 1),
            "created_at": world.now - timedelta(days=45),
        }
