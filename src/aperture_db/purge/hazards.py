"""The warnings that apply to this database now."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from aperture_db.aperture import Media
from aperture_db.postgres.activity import find_other_sessions
from aperture_db.purge.report import Hazard
from aperture_db.purge.situation import Situation
from aperture_db.purge.what import What

RUN_TABLES = ("enrichment_runs", "recommendation_runs", "discovery_runs", "gap_analysis_runs")
NAMED_SESSIONS = 3
WORDS = {Media.MOVIE: "films", Media.SERIES: "series"}


def find_hazards(situation: Situation) -> Iterator[Hazard]:
    """The most dangerous first."""
    yield from _auto_requests(situation)
    yield from _running_jobs(situation)
    yield from _sessions(situation)
    yield from _locked_profiles(situation)
    yield from _top_picks(situation)


def _auto_requests(situation: Situation) -> Iterator[Hazard]:
    columns = ("movies_auto_request_enabled", "series_auto_request_enabled")
    if not situation.takes_content or not situation.has("top_picks_config", *columns):
        return
    rows = situation.ask("auto_requests", table=situation.tables["top_picks_config"].identifier)
    for row in rows:
        enabled = dict(zip((Media.MOVIE, Media.SERIES), row, strict=True))
        words = [WORDS[media] for media in situation.media if enabled[media]]
        if words:
            yield Hazard(
                "auto_requests",
                f"Top Picks requests {' and '.join(words)} from Seerr by itself: the job "
                "auto-request-top-picks takes all of them as missing until the next sync is done. "
                "Turn it off, or keep Aperture stopped and sync first.",
            )


def _running_jobs(situation: Situation) -> Iterator[Hazard]:
    for name in RUN_TABLES:
        if not situation.has(name, "status", "created_at"):
            continue
        table = situation.tables[name].identifier
        for found, rows, age_seconds in situation.ask("running", name=name, table=table):
            hours = float(str(age_seconds)) / 3600
            yield Hazard(
                "running_job",
                f"{found}: {rows} with status running, the newest begun {hours:.1f} h ago. A job "
                "may be at work, or a crash left the mark behind.",
            )


def _sessions(situation: Situation) -> Iterator[Hazard]:
    sessions = find_other_sessions(situation.conn)
    if not sessions:
        return
    shown = "; ".join(str(session) for session in sessions[:NAMED_SESSIONS])
    more = len(sessions) - NAMED_SESSIONS
    yield Hazard(
        "sessions",
        f"{len(sessions)} other session{'s are' if len(sessions) > 1 else ' is'} connected to "
        f"this database: {shown}{f'; and {more} more' if more > 0 else ''}.",
    )


def _locked_profiles(situation: Situation) -> Iterator[Hazard]:
    if situation.what is What.EVERYTHING or not situation.has("user_taste_profiles", "is_locked"):
        return
    in_scope = sql.SQL("media_type IN ({})").format(
        sql.SQL(", ").join(sql.Literal(str(media)) for media in situation.media)
    )
    table = situation.tables["user_taste_profiles"].identifier
    rows = situation.count("locked_profiles", table=table, in_scope=in_scope)
    if not rows:
        return
    profiles = "1 locked taste profile" if rows == 1 else f"{rows} locked taste profiles"
    if not situation.options.include_locked:
        text = f"{profiles} left alone, and used as before; --include-locked resets them, too."
    elif situation.what is What.RATINGS:
        text = f"{profiles} marked for computing anew, which the lock keeps from happening."
    else:
        text = (
            f"{profiles} reset, too: the next recommendations compute them anew, and then delete "
            "the franchise preferences that those users set themselves."
        )
    yield Hazard("locked_profiles", text)


def _top_picks(situation: Situation) -> Iterator[Hazard]:
    if situation.what is What.EVERYTHING or not situation.rows_going("watch_history"):
        return
    if not situation.has("top_picks_config", "is_enabled"):
        return
    table = situation.tables["top_picks_config"].identifier
    if situation.count("top_picks_enabled", table=table):
        yield Hazard(
            "top_picks",
            "Top Picks is enabled: refresh-top-picks empties it when it runs before the watch "
            "history is back.",
        )
