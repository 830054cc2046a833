"""What holds for any library, whatever a resync made of it."""

from __future__ import annotations

from datetime import datetime
from random import Random
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from aperture_db.aperture import Media
from aperture_db.relink.matching import match_titles
from aperture_db.relink.report import Evidence, Match, Pending, Reason, TitleIdentity, fold, keys_of
from tests.relink.titles import KEPT_AT, later

# Few values, so that titles share them.
NAMES = st.sampled_from(["Alien", "ALIEN", "Heat", "École", "E\u0301cole", "Straße", "STRASSE"])
YEARS = st.sampled_from([None, 1979, 1995])
NUMBERS = st.sampled_from([None, "", "0", "1", "01", "2", "3"])
PATHS = st.sampled_from([None, "", "/a", "/a/", "/b"])
ITEMS = st.sampled_from(["1", "2"])
SERVERS = st.sampled_from([None, "emby http://e", "jellyfin http://j"])


def titles(kept_at: st.SearchStrategy[datetime | None]) -> st.SearchStrategy[TitleIdentity]:
    return st.builds(
        TitleIdentity,
        id=st.uuids(),
        kind=st.sampled_from([Media.MOVIE, Media.SERIES]),
        title=NAMES,
        year=YEARS,
        original_title=st.none() | NAMES,
        imdb_id=NUMBERS.map(lambda number: f"tt{number}" if number else number),
        tmdb_id=NUMBERS,
        tvdb_id=NUMBERS,
        path=PATHS,
        item_id=ITEMS,
        server=SERVERS,
        kept_at=kept_at,
    )


PRESENT = st.lists(titles(st.none()), max_size=6, unique_by=lambda title: title.id)
KEPT = st.lists(
    titles(st.sampled_from([KEPT_AT, later()])), max_size=5, unique_by=lambda title: title.id
)


@given(KEPT, PRESENT)
def test_every_kept_title_has_one_result_among_those_present(
    kept: list[TitleIdentity], present: list[TitleIdentity]
) -> None:
    results = match_titles(kept, present)
    assert results.keys() == set(kept)
    for old, result in results.items():
        assert result.old == old
        if isinstance(result, Match):
            assert result.new in present
            assert result.new.kind is old.kind
        else:
            assert result.text


@given(KEPT, PRESENT, st.randoms(use_true_random=False))
def test_order_does_not_matter(
    kept: list[TitleIdentity], present: list[TitleIdentity], random: Random
) -> None:
    results = match_titles(kept, present)
    random.shuffle(kept)
    random.shuffle(present)
    again = match_titles(kept, present)
    assert {old: outcome(result) for old, result in again.items()} == {
        old: outcome(result) for old, result in results.items()
    }


def outcome(result: Match | Pending) -> object:
    return (result.new, result.evidence) if isinstance(result, Match) else result.reason


@given(KEPT, PRESENT)
def test_no_match_without_something_in_common(
    kept: list[TitleIdentity], present: list[TitleIdentity]
) -> None:
    for old, result in match_titles(kept, present).items():
        if isinstance(result, Match) and result.evidence is not Evidence.KEPT_LATER:
            one, other = keys_of(old), keys_of(result.new)
            assert (
                set(one.external.items()) & set(other.external.items())
                or (one.path and one.path == other.path)
                or one.titles & other.titles
                or (one.undated & other.undated and old.item_id == result.new.item_id)
            )


@given(KEPT, PRESENT)
def test_item_ids_make_no_difference_to_titles_with_a_year(
    kept: list[TitleIdentity], present: list[TitleIdentity]
) -> None:
    for result in match_titles(kept, present).values():
        if isinstance(result, Match) and result.evidence is Evidence.ITEM:
            assert result.old.year is None
            assert result.new.year is None


@given(KEPT, PRESENT)
def test_no_match_where_every_common_id_differs(
    kept: list[TitleIdentity], present: list[TitleIdentity]
) -> None:
    for old, result in match_titles(kept, present).items():
        if isinstance(result, Match):
            one, other = keys_of(old).external, keys_of(result.new).external
            common = one.keys() & other.keys()
            agreeing = {key for key in common if one[key] == other[key]}
            assert agreeing or not common


@given(titles(st.just(KEPT_AT)), PRESENT, st.uuids())
def test_an_exact_copy_is_matched_or_ambiguous(
    old: TitleIdentity, others: list[TitleIdentity], new_id: UUID
) -> None:
    copy = TitleIdentity(**(vars(old) | {"id": new_id, "kept_at": None}))
    result = match_titles([old], [*others, copy])[old]
    keys = keys_of(old)
    if keys.external or keys.path or keys.titles:
        assert isinstance(result, Match) or result.reason is not Reason.NOT_FOUND


@given(titles(st.just(KEPT_AT)), st.uuids())
def test_a_copy_that_is_alone_is_matched(old: TitleIdentity, new_id: UUID) -> None:
    keys = keys_of(old)
    copy = TitleIdentity(**(vars(old) | {"id": new_id, "kept_at": None}))
    result = match_titles([old], [copy])[old]
    is_known = bool(keys.external or keys.path or keys.titles or (old.server and keys.undated))
    assert isinstance(result, Match) is is_known


@given(KEPT, PRESENT)
def test_two_different_titles_never_share_a_match_by_weak_evidence(
    kept: list[TitleIdentity], present: list[TitleIdentity]
) -> None:
    results = match_titles(kept, present)
    weak = {Evidence.PATH, Evidence.TITLE, Evidence.ITEM, Evidence.KEPT_LATER}
    for old, result in results.items():
        if not isinstance(result, Match) or result.evidence not in weak:
            continue
        for other, its in results.items():
            if other is old or other.kept_at != old.kept_at or not isinstance(its, Match):
                continue
            if its.new is result.new:
                assert set(keys_of(old).external.items()) & set(keys_of(other).external.items())


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert fold(f"  {text}  ") == fold(text)
