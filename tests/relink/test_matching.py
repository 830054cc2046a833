"""The ten cases of a resync, and their siblings."""

from __future__ import annotations

import unicodedata
from datetime import date
from typing import Any

import pytest

from aperture_db.aperture import Media
from aperture_db.relink.matching import match_titles
from aperture_db.relink.report import Evidence, Match, Reason
from tests.relink.titles import (
    episode,
    film,
    kept,
    kept_series,
    later,
    match,
    new_of,
    pending,
    series,
)

SERVER = "jellyfin http://media:8096"


# Remakes: equal title, years differ.


def test_remakes_match_by_year() -> None:
    old_one, new_one = film("The Thing", 1982), film("The Thing", 2011)
    assert new_of(match(kept("The Thing", 1982), new_one, old_one)) is old_one


def test_remakes_match_by_id_without_years() -> None:
    one, other = film("Dune", imdb_id="tt0087182"), film("Dune", imdb_id="tt1160419")
    assert new_of(match(kept("Dune", imdb_id="tt1160419"), one, other)) is other


def test_remakes_without_year_and_id_stay_pending() -> None:
    result = pending(match(kept("Dune"), film("Dune", 1984), film("Dune", 2021)))
    assert result.reason is Reason.NOT_FOUND
    assert {title.year for title in result.candidates} == {1984, 2021}


def test_title_without_year_on_both_sides_is_no_evidence() -> None:
    assert pending(match(kept("Home video"), film("Home video"))).reason is Reason.NOT_FOUND


# Different films of the same title and year share a row, whose ids alternate.


def test_same_title_and_year_with_other_ids_is_contradicted_until_the_ids_swap() -> None:
    old = kept("Aurora", 2010, imdb_id="tt0000101", tmdb_id="11")
    other = film("Aurora", 2010, imdb_id="tt0000202", tmdb_id="22")
    assert pending(match(old, other)).reason is Reason.CONTRADICTED
    swapped = film("Aurora", 2010, imdb_id="tt0000101", tmdb_id="11")
    assert new_of(match(old, swapped)) is swapped


def test_equal_path_does_not_outweigh_other_ids() -> None:
    old = kept("Aurora", 2010, imdb_id="tt0000101", path="/films/aurora.mkv")
    other = film("Aurora", 2010, imdb_id="tt0000202", path="/films/aurora.mkv")
    assert pending(match(old, other)).reason is Reason.CONTRADICTED


# One old film is now two rows.


def test_of_two_rows_the_one_with_the_id_matches() -> None:
    right = film("Alien", 1979, imdb_id="tt0078748")
    assert new_of(match(kept("Alien", 1979, imdb_id="tt0078748"), film("Alien", 1979), right)) is (
        right
    )


@pytest.mark.parametrize(
    "attributes", [{"path": "/a/alien.mkv"}, {"title": "Alien", "year": 1979}, {"tmdb_id": "348"}]
)
def test_of_two_rows_with_the_id_the_one_that_agrees_in_more_matches(
    attributes: dict[str, str],
) -> None:
    old = kept("Alien", 1979, imdb_id="tt0078748", path="/a/alien.mkv", tmdb_id="348")
    rest: dict[str, Any] = {"title": "Alien: Director's Cut", "year": 2003, "imdb_id": "tt0078748"}
    right, other = film(**(rest | attributes)), film(**rest, path="/b/alien.mkv")
    assert new_of(match(old, other, right)) is right


def test_two_equal_rows_are_ambiguous() -> None:
    rows = [film("Alien", 1979, imdb_id="tt0078748") for _ in range(2)]
    result = pending(match(kept("Alien", 1979, imdb_id="tt0078748"), *rows))
    assert result.reason is Reason.AMBIGUOUS
    assert set(result.candidates) == set(rows)


def test_two_rows_of_one_title_and_year_are_ambiguous_though_one_contradicts() -> None:
    old = kept("Alien", 1979, imdb_id="tt0078748")
    rows = film("Alien", 1979, imdb_id="tt9999999"), film("ALIEN", 1979)
    assert pending(match(old, *rows)).reason is Reason.AMBIGUOUS


# Duplicates merged: two old titles are one now.


def test_two_old_titles_with_one_id_both_match() -> None:
    olds = [kept("Heat", 1995, imdb_id="tt0113277"), kept("Heat (UHD)", 1995, imdb_id="tt113277")]
    new = film("Heat", 1995, imdb_id="tt0113277")
    results = match_titles(olds, [new])
    assert [new_of(results[old]) for old in olds] == [new, new]


def test_old_title_without_ids_does_not_share_a_match_with_another() -> None:
    by_id, by_title = kept("Hitze", 1995, imdb_id="tt0113277"), kept("Heat", 1995)
    results = match_titles([by_id, by_title], [film("Heat", 1995, imdb_id="tt0113277")])
    assert isinstance(results[by_id], Match)
    assert pending(results[by_title]).reason is Reason.AMBIGUOUS


def test_two_old_titles_of_one_title_and_year_are_ambiguous() -> None:
    olds = [kept("Aurora", 2010), kept("Aurora", 2010, imdb_id="tt0000101")]
    results = match_titles(olds, [film("Aurora", 2010)])
    assert {pending(results[old]).reason for old in olds} == {Reason.AMBIGUOUS}


def test_the_same_title_kept_by_two_purges_is_no_rival_of_itself() -> None:
    olds = [kept("Aurora", 2010), kept("Aurora", 2010, kept_at=later())]
    new = film("Aurora", 2010)
    results = match_titles(olds, [new])
    assert [new_of(results[old]) for old in olds] == [new, new]


# Ids missing, or newly filled.


@pytest.mark.parametrize("old_ids", [{}, {"imdb_id": ""}, {"imdb_id": "tt0000000"}])
def test_missing_id_leaves_title_and_year(old_ids: dict[str, str]) -> None:
    new = film("Ran", 1985, imdb_id="tt0089881", tmdb_id="11645")
    result = match(kept("Ran", 1985, **old_ids), new)
    assert new_of(result) is new
    assert isinstance(result, Match)
    assert result.evidence is Evidence.TITLE


def test_lost_ids_leave_the_path() -> None:
    new = film("乱", 1985, path="/films/ran.mkv")
    result = match(kept("Ran", 1985, imdb_id="tt0089881", path="/films/ran.mkv"), new)
    assert isinstance(result, Match)
    assert result.evidence is Evidence.PATH


def test_path_of_a_title_of_another_year_is_contradicted() -> None:
    old = kept("Ran", 1985, path="/films/1.mkv")
    new = film("Kagemusha", 1980, path="/films/1.mkv")
    assert pending(match(old, new)).reason is Reason.CONTRADICTED


# Another language.


def test_original_title_matches() -> None:
    old = kept("Das Boot", 1981, original_title="Das Boot")
    new = film("The Boat", 1981, original_title="Das Boot")
    assert new_of(match(old, new)) is new


def test_nothing_is_fuzzy() -> None:
    for name in ("The Boats", "Boat", "The Boat: Director's Cut", "The Boat (1981)"):
        pending(match(kept("The Boat", 1981), film(name, 1981)))


def test_case_composition_and_spaces_are_folded() -> None:
    decomposed = unicodedata.normalize("NFD", "ÉCOLE  de la Straße")
    new = film("école de la STRASSE", 1999)
    assert new_of(match(kept(decomposed, 1999), new)) is new


# Series of the same name; a film with the same number at TMDb.


def test_kind_is_part_of_every_key() -> None:
    old = kept("Fargo", 1996, imdb_id="tt0116282", tmdb_id="275", path="/m/fargo")
    other = series("Fargo", 1996, imdb_id="tt0116282", tmdb_id="275", path="/m/fargo")
    assert pending(match(old, other)).reason is Reason.NOT_FOUND


def test_series_of_one_name_match_by_tvdb() -> None:
    one, other = (
        series("House of Cards", 1990, tvdb_id="79861"),
        series("House of Cards", 2013, tvdb_id="262980"),
    )
    assert new_of(match(kept_series("House of Cards", 2013, tvdb_id="79861"), other, one)) is one


def test_films_have_no_id_at_tvdb() -> None:
    pending(match(kept("A", 1999, tvdb_id="1"), film("B", 1999, tvdb_id="1")))


# Episodes.


def test_episodes_match_through_their_series() -> None:
    old, new = kept_series("Dark", 2017, tvdb_id="334824"), series("Dark", 2017, tvdb_id="334824")
    old_special, new_special = episode(old, 0, 0), episode(new, 0, 0)
    old_first, new_first = episode(old, 1, 1), episode(new, 1, 1)
    present = [new, new_special, new_first]
    results = match_titles([old, old_special, old_first, gone := episode(old, 1, 9)], present)
    assert new_of(results[old_special]) is new_special
    assert new_of(results[old_first]) is new_first
    assert pending(results[gone]).reason is Reason.NOT_FOUND


def test_renumbered_episode_is_contradicted() -> None:
    old, new = kept_series("Firefly", 2002), series("Firefly", 2002)
    was = episode(old, 1, 1, premiere_date=date(2002, 9, 20))
    now = episode(new, 1, 1, premiere_date=date(2002, 12, 20))
    assert pending(match([was, old], new, now)).reason is Reason.CONTRADICTED


def test_episode_of_a_pending_series_stays_pending() -> None:
    old, new = kept_series("Firefly", 2002), series("Serenity", 2005)
    pending(match([episode(old, 1, 1), old], new, episode(new, 1, 1)))


# Item ids.


def test_item_id_alone_never_matches() -> None:
    old = kept("Alien", 1979, item_id="42", server=SERVER)
    pending(match(old, film("Brazil", 1985, item_id="42", server=SERVER)))


def test_item_id_helps_a_title_without_year_on_the_same_server() -> None:
    old = kept("Home video", item_id="ab", server=SERVER)
    new = film("Home Video", item_id="ab", server=SERVER)
    result = match(old, new, film("Home video", item_id="cd", server=SERVER))
    assert new_of(result) is new
    elsewhere = film("Home Video", item_id="ab", server="emby http://media:8096")
    pending(match(old, elsewhere))


def test_row_taken_over_by_another_title_is_not_its_own_match() -> None:
    old = kept("Alien", 1979, imdb_id="tt0078748")
    taken = film("Brazil", 1985, imdb_id="tt0088846", id=old.id)
    assert pending(match(old, taken)).reason is Reason.CONTRADICTED
    moved = film("Alien", 1979, imdb_id="tt0078748")
    assert new_of(match(old, taken, moved)) is moved


def test_old_id_that_is_there_again_matches_itself() -> None:
    old = kept("Alien", 1979, imdb_id="tt0078748")
    restored = film("Alien", 1979, imdb_id="tt0078748", id=old.id)
    result = match(old, film("Alien", 1979, imdb_id="tt0078748"), restored)
    assert isinstance(result, Match)
    assert result.evidence is Evidence.SAME_ID
    assert result.new is restored


def test_corrected_imdb_id_matches_with_a_remark() -> None:
    old = kept("Alien", 1979, imdb_id="tt0078749", tmdb_id="348")
    new = film("Alien", 1979, imdb_id="tt0078748", tmdb_id="348")
    result = match(old, new)
    assert new_of(result) is new
    assert isinstance(result, Match)
    assert "tt0078748" in result.remark


def test_corrected_imdb_id_and_other_title_is_contradicted() -> None:
    old = kept("Alien", 1979, imdb_id="tt0078749", tmdb_id="348")
    pending(match(old, film("Aliens", 1986, imdb_id="tt0090605", tmdb_id="348")))


def test_ids_of_two_titles_are_ambiguous() -> None:
    old = kept("Alien", 1979, imdb_id="tt0078748", tmdb_id="679")
    rows = film("Alien", 1979, imdb_id="tt0078748"), film("Aliens", 1986, tmdb_id="679")
    assert pending(match(old, *rows)).reason is Reason.AMBIGUOUS


# A second purge before relink, and decisions of a person.


def test_title_is_found_by_way_of_one_kept_later() -> None:
    first = kept("Shichinin no samurai", 1954, imdb_id="tt0047478")
    second = kept("Seven Samurai", 1954, imdb_id="tt0047478", tmdb_id="346", kept_at=later())
    new = film("Les sept samouraïs", 1954, tmdb_id="346")
    result = match_titles([first, second], [new])[first]
    assert new_of(result) is new
    assert isinstance(result, Match)
    assert result.evidence is Evidence.KEPT_LATER


def test_the_way_through_a_later_title_is_closed_by_other_ids() -> None:
    first = kept("Aurora", 2010, tvdb_id="1", imdb_id="tt0000101", kind=Media.SERIES)
    second = kept_series("Aurora", 2010, tvdb_id="1", tmdb_id="7", kept_at=later())
    new = series("Aurora!", 2010, imdb_id="tt0000202", tmdb_id="7")
    assert pending(match([first, second], new)).reason is Reason.CONTRADICTED


def test_decision_wins_and_outlives_a_second_purge() -> None:
    old, chosen = kept("Dune"), kept("Dune", 1984, imdb_id="tt0087182", kept_at=later())
    new = film("Dune", 1984, imdb_id="tt0087182")
    results = match_titles([old, chosen], [new], {old.id: chosen.id})
    assert new_of(results[old]) is new
    assert match(old, new, decisions={old.id: new.id}) == Match(old, new, Evidence.DECIDED)


def test_decision_for_a_title_of_another_kind_does_not_count() -> None:
    old, other = kept("Fargo"), series("Fargo", 2014)
    pending(match(old, other, decisions={old.id: other.id}))


def test_decisions_in_a_circle_end() -> None:
    one, other = kept("A"), kept("B", kept_at=later())
    decisions = {one.id: other.id, other.id: one.id}
    pending(match([one, other], decisions=decisions))
