#!/bin/sh
# collect_clients.sh DIRECTORY MAJOR…
#
# Installs the client programs of these major versions of PostgreSQL on this Debian, and lays
# those that the image needs out below DIRECTORY as they are to lie below /. The packages
# themselves would bring a whole Perl, for a wrapper script that is not needed.
set -eu

into=$1
shift
# shellcheck disable=SC2046
set -- $(printf '%s\n' "$@" | sort -n)

export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends ca-certificates postgresql-client-common
for major in "$@"; do
    if ! apt-cache show "postgresql-client-$major" >/dev/null 2>&1; then
        echo "Debian has no PostgreSQL $major: adding the packages of apt.postgresql.org"
        /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y
        break
    fi
done

for major in "$@"; do
    apt-get install -y --no-install-recommends "postgresql-client-$major"
    bin=usr/lib/postgresql/$major/bin
    mkdir -p "$into/$bin"
    cp "/$bin/pg_dump" "/$bin/pg_restore" "/$bin/psql" "$into/$bin/"
done

# They need the libpq of the newest one. /usr/local/lib goes before that of the image's Debian.
mkdir -p "$into/usr/local/lib" "$into/usr/local/bin"
cp -L /usr/lib/*/libpq.so.5 "$into/usr/local/lib/"
ln -s "/usr/lib/postgresql/$major/bin/psql" "$into/usr/local/bin/psql"
