"""Users, their settings, logins and keys. Nothing that looks like a secret is one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta

from psycopg.types.json import Jsonb

from aperture_db.sample.people import SampleUser
from aperture_db.sample.tables import Row, TableRows
from aperture_db.sample.world import World

NO_TOKEN = "not-a-real-token"  # noqa: S105
SESSION_LIFETIME = timedelta(days=30)
API_KEYS = (("Home dashboard", 120, False), ("Old phone", 300, True))
"""Name, age in days, whether it is revoked."""


def tables(world: World) -> Iterator[TableRows]:
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
