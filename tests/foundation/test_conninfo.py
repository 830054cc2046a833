"""Connection strings in every form that Aperture's users have."""

from __future__ import annotations

import re
from contextlib import suppress
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from aperture_db.errors import UsageError
from aperture_db.postgres.settings import URL_EXAMPLE, ParsedConninfo, parse_conninfo

KEYWORDS = [option.keyword.decode() for option in pq.Conninfo.get_defaults()]

any_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
# What node-postgres takes raw in a password. `%` is raw only where no two digits follow.
raw_passwords = st.text(
    st.sampled_from("aZ09@% :'\"$\\&=+;,!*()[]{}<>|~^`_-.é"), min_size=1, max_size=30
)
hosts = st.one_of(
    st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z]{2,6})?", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
    st.just(quote("/var/run/postgresql", safe="")),
)
ports = st.one_of(st.none(), st.integers(1, 65535))
names = st.from_regex(r"[a-z][a-z0-9_.]{0,20}", fullmatch=True)


def read(text: str) -> ParsedConninfo:
    return parse_conninfo(text, KEYWORDS)


def params(text: str) -> dict[str, str]:
    return read(text).params


def refusal(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        read(text)
    return caught.value


@given(user=any_text, password=any_text, database=any_text)
def test_whatever_is_percent_encoded_comes_back(user: str, password: str, database: str) -> None:
    url = f"postgresql://{quote(user, '')}:{quote(password, '')}@db:5432/{quote(database, '')}"
    assert params(url) == {
        "user": user, "password": password, "host": "db", "port": "5432", "dbname": database,
    }  # fmt: skip


@given(password=raw_passwords)
@example("p@ss")
@example("100%")
@example("a b")
@example("::@@")
@example("%zz@ %")
def test_a_raw_password_comes_back(password: str) -> None:
    assume(not re.search(r"%[0-9a-fA-F]{2}", password))
    # Quotes around the whole value are taken off; here the scheme comes first.
    assert params(f"postgres://aperture:{password}@db:5432/aperture")["password"] == password


@given(
    user=names, password=any_text, host=hosts, port=ports, database=names,
    mode=st.sampled_from(["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]),
)  # fmt: skip
def test_a_url_that_libpq_understands_means_the_same(
    user: str, password: str, host: str, port: int | None, database: str, mode: str
) -> None:
    where = host if port is None else f"{host}:{port}"
    url = f"postgresql://{user}:{quote(password, '')}@{where}/{database}?sslmode={mode}"
    expected = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    assert params(url) == expected


@given(
    before=st.text(st.sampled_from("ab1@%: "), max_size=5),
    border=st.sampled_from("#/?"),
    after=st.text(st.sampled_from("ab1@%: #/?&="), max_size=8),
)
def test_an_undecidable_password_is_refused_and_not_repeated(
    before: str, border: str, after: str
) -> None:
    password = f"Sentinel{before}{border}{after}Zebra"
    error = refusal(f"postgresql://aperture:{password}@db:5432/aperture")
    text = f"{error.what} {error.why} {error.next_step} {error.__cause__}"
    assert "Sentinel" not in text
    assert "Zebra" not in text


@given(text=any_text)
def test_any_text_is_read_or_refused(text: str) -> None:
    for candidate in (text, f"postgresql://{text}", f"host=db {text}"):
        with suppress(UsageError):
            assert read(candidate).params is not None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgres://aperture:pw@db/aperture",
            {"host": "db", "user": "aperture", "password": "pw", "dbname": "aperture"},
        ),
        (
            "postgresql://postgres.abcdefgh:pw@aws-0-eu.pooler.supabase.com:6543/postgres",
            {
                "host": "aws-0-eu.pooler.supabase.com",
                "port": "6543",
                "user": "postgres.abcdefgh",
                "password": "pw",
                "dbname": "postgres",
            },
        ),
        (
            "postgresql://u@[::1]:5433/d",
            {"host": "::1", "port": "5433", "user": "u", "dbname": "d"},
        ),
        (
            "postgresql://u@/d?host=/var/run/postgresql",
            {"host": "/var/run/postgresql", "user": "u", "dbname": "d"},
        ),
        (
            "postgresql://u@%2Fvar%2Frun%2Fpostgresql:5433/d",
            {"host": "/var/run/postgresql", "port": "5433", "user": "u", "dbname": "d"},
        ),
        ("postgresql://a:1,b:2/d", {"host": "a,b", "port": "1,2", "dbname": "d"}),
        ("postgresql:///d", {"dbname": "d"}),
        ("POSTGRESQL://h", {"host": "h"}),
        (
            "postgresql://h/d?user=a@b&password=c@d",
            {"host": "h", "dbname": "d", "user": "a@b", "password": "c@d"},
        ),
        (
            "postgresql://h/d?sslmode=verify-full&sslrootcert=/certs/ca%20one.crt",
            {
                "host": "h",
                "dbname": "d",
                "sslmode": "verify-full",
                "sslrootcert": "/certs/ca one.crt",
            },
        ),
        ("postgresql://h/d?ssl=true", {"host": "h", "dbname": "d", "sslmode": "require"}),
        *(
            (f"postgresql://h/d?{option}", {"host": "h", "dbname": "d", "sslmode": "no-verify"})
            for option in ("sslmode=no-verify", "ssl=no-verify")
        ),
        (
            "postgresql://h/d?ssl=verify-full",
            {"host": "h", "dbname": "d", "sslmode": "verify-full"},
        ),
        ("DATABASE_URL=postgresql://h/d", {"host": "h", "dbname": "d"}),
        ("export DATABASE_URL='postgresql://h/d'", {"host": "h", "dbname": "d"}),
        (
            "host=db port=5433 user=u password='two words' dbname=d",
            {"host": "db", "port": "5433", "user": "u", "password": "two words", "dbname": "d"},
        ),
        (" password = 'a://b' host=db", {"password": "a://b", "host": "db"}),
    ],
)
def test_forms(url: str, expected: dict[str, str]) -> None:
    assert params(url) == expected


@pytest.mark.parametrize("around", ['"{}"', "'{}'", '  "{}" ', "\ufeff{}", "{}\r\n", "\t{}"])
def test_what_env_files_leave_around_the_value_is_taken_off(around: str) -> None:
    assert params(around.format("postgresql://u:p@h/d"))["dbname"] == "d"


@pytest.mark.parametrize(
    ("password", "meant"),
    [
        ("p%40ss", "p@ss"),
        ("p%2Fss", "p/ss"),
        # With a raw % or a space, node-postgres takes only two decimal digits as encoded.
        ("100%%40", "100%@"),
        ("100% %2F", "100% %2F"),
        ("%zz%2F", "%zz%2F"),
    ],
)
def test_percent_signs_mean_what_aperture_takes_them_for(password: str, meant: str) -> None:
    assert params(f"postgresql://u:{password}@h/d")["password"] == meant


def test_unknown_options_are_dropped_and_named() -> None:
    parsed = read("postgresql://h/d?schema=public&sslmode=disable&pgbouncer=true")
    assert parsed.params["sslmode"] == "disable"
    assert parsed.dropped_options == ("schema", "pgbouncer")


@pytest.mark.parametrize(
    ("text", "why", "next_step"),
    [
        (
            "mysql://u:secret@h/d",
            "its scheme is not postgresql:// or postgres://",
            "write it as postgresql://user:password@host:5432/database",
        ),
        (
            "secret",
            "it is neither a URL nor key=value pairs",
            "write it as postgresql://user:password@host:5432/database",
        ),
        (
            "postgresql://u:sec#ret@h/d",
            "a raw #, / or ? in it leaves open where the password ends",
            "percent-encode them in the password: # is %23, / is %2F, ? is %3F",
        ),
        (
            "postgresql://u:secret@::1:5432/d",
            "the part behind the last @ is not host:port",
            (
                f"write it as {URL_EXAMPLE}, an IPv6 address in [brackets], "
                "and percent-encode # / ? in the password"
            ),
        ),
        (
            "postgresql://u:secret%ff@h/d",
            "a percent-encoded part is not UTF-8",
            "encode a literal % as %25",
        ),
        ("postgresql://u:secret%00@h/d", "it has an encoded NUL byte", "remove %00"),
        (
            "postgresql://u:sec\nret@h/d",
            "it contains a line break or a NUL byte",
            "keep the one line with the connection string",
        ),
        (
            "postgresql://u:secret\udcff@h/d",
            "it is not UTF-8",
            "percent-encode what is not ASCII",
        ),
        (
            "host=db password=secret secret=1",
            "its key=value pairs have an unknown keyword, or an unquoted value with spaces",
            "quote values with spaces: password='two words'",
        ),
    ],
)
def test_refusals(text: str, why: str, next_step: str) -> None:
    error = refusal(text)
    assert error.what == "the connection string can't be read"
    assert (error.why, error.next_step) == (why, next_step)
    assert error.exit_code == 2
