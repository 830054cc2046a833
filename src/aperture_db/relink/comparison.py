"""What two identities agree and differ in."""

from __future__ import annotations

from aperture_db.relink.identity import ExternalId, Keys, TitleIdentity, keys_of
from aperture_db.relink.report import OF_EXTERNAL_ID


def agreeing_ids(one: Keys, other: Keys) -> set[ExternalId]:
    return {each for each, value in one.external.items() if other.external.get(each) == value}


def conflicting_ids(one: Keys, other: Keys) -> set[ExternalId]:
    """The catalogs in which both have an id, and not the same."""
    return {
        each for each, value in one.external.items() if other.external.get(each, value) != value
    }


def conflict(old: Keys, new: Keys) -> str:
    """What forbids the match in words; empty when nothing does. An id that differs is forgiven
    where another id and title and year agree: catalogs correct their ids."""
    differing = conflicting_ids(old, new)
    if not differing or (agreeing_ids(old, new) and old.titles & new.titles):
        return ""
    return differences(old, new)


def differences(old: Keys, new: Keys) -> str:
    return "; ".join(
        f"its {OF_EXTERNAL_ID[each]} is {new.external[each]}, kept was {old.external[each]}"
        for each in ExternalId
        if each in conflicting_ids(old, new)
    )


def years_differ(one: Keys, other: Keys) -> bool:
    years = [{year for _, year in keys.titles} for keys in (one, other)]
    return all(years) and years[0].isdisjoint(years[1])


def is_same_row(old: Keys, new: Keys) -> bool:
    """Whether the row with a kept title's id still holds that title. A media server that gives
    its item ids out again makes Aperture overwrite rows with other titles."""
    agrees = (
        agreeing_ids(old, new)
        or old.titles & new.titles
        or old.undated & new.undated
        or (old.path is not None and old.path == new.path)
    )
    return bool(agrees) and not conflict(old, new)


def is_same_title(one: Keys, other: Keys) -> bool:
    """Whether two titles that were there at the same time are certainly the same."""
    return bool(agreeing_ids(one, other)) and not conflicting_ids(one, other)


def described(title: TitleIdentity) -> str:
    """A title with its ids, which tell it from its namesakes."""
    ids = [f"{each} {value}" for each, value in keys_of(title).external.items()]
    return f"{title} [{', '.join(ids)}]" if ids else str(title)
