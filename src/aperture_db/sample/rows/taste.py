"""What users like: derived profiles, and what they have set themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from pgvector import HalfVector
from psycopg.types.json import Jsonb

from aperture_db.sample.people import NEUTRAL, SampleUser
from aperture_db.sample.tables import Row, TableRows, exact
from aperture_db.sample.vectors import TASTE_NOISE
from aperture_db.sample.world import World

INTERESTS = ("slow-burning science fiction", "films about music", "heists that go wrong")
ALGORITHM_SETTINGS = {
    "enabled": True,
    "movie": {"similarityWeight": 0.5, "noveltyWeight": 0.2},
    "series": {"similarityWeight": 0.4, "noveltyWeight": 0.3},
}


def tables(world: World) -> Iterator[TableRows]:
    yield TableRows("user_taste_profiles", _profiles(world))
    yield TableRows("user_preferences", (_preferences(world, u) for u in world.enabled_users))
    yield TableRows("user_franchise_preferences", _franchises(world))
    yield TableRows("user_genre_weights", _genre_weights(world))
    yield TableRows("user_custom_interests", _interests(world))


def media_types(user: SampleUser) -> list[str]:
    """What a user gets recommendations for."""
    wanted = {"movie": user.role.sees_movies, "series": user.role.sees_series}
    return [media_type for media_type, is_wanted in wanted.items() if is_wanted]


def taste_vector(world: World, user: SampleUser) -> HalfVector:
    """Near the titles of the genres that the user likes."""
    liked = {name: weight for name, weight in user.genre_weights.items() if weight > NEUTRAL}
    return world.space.near(world.space.center(tuple(liked.items())), TASTE_NOISE)


def _profiles(world: World) -> Iterator[Row]:
    for user in world.enabled_users:
        for media_type in media_types(user):
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
