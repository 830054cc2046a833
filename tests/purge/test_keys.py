"""Foreign keys that a purge drops and adds again, so that their triggers do not run row by row."""

from __future__ import annotations

from aperture_db.postgres import catalog
from aperture_db.postgres.session import open_session
from aperture_db.purge import PurgeOptions, PurgeTarget
from aperture_db.purge.assessment import assess, read_sizes
from aperture_db.purge.scopes import scope_of
from aperture_db.purge.selection import select
from tests.purge.purging import purge


def test_keys_of_emptied_tables_do_not_trigger(large_library: str) -> None:
    """recommendation_evidence is emptied anyway: its cascade from the candidates is for nothing."""
    with open_session(large_library) as conn:
        # Without evidence for series, all of it goes with the films.
        conn.execute(
            "DELETE FROM public.recommendation_evidence AS e USING "
            "public.recommendation_candidates AS c "
            "WHERE c.id = e.candidate_id AND c.series_id IS NOT NULL"
        )
        selection = select(conn, scope_of(PurgeTarget.MOVIES, PurgeOptions()))
        role = catalog.read_database(conn).role
        with conn.transaction():
            assessment = assess(conn, selection, role, read_sizes(conn, selection))
    counts = {selection.tables[oid].name: count.deleted for oid, count in assessment.counts.items()}
    assert counts["recommendation_candidates"] > 500
    dropped = {key.definition.name for key in assessment.strategies.dropped_keys}
    assert "recommendation_evidence_candidate_id_fkey" in dropped
    names = [key.definition.name for key in assessment.strategies.dropped_keys]
    assert len(names) == len(set(names))
    purge(large_library, "--what", "movies")
