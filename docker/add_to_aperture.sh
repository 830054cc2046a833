#!/bin/sh
# add_to_aperture.sh DIRECTORY [MAJOR…]
#
# Adds the tool, Python, and the client programs of these major versions of PostgreSQL to the
# image in which it runs, and lays all that is new below DIRECTORY. Aperture's image is an Alpine;
# a Debian is understood too.
set -eu

into=$1
shift
source=$(dirname "$0")/..
scratch=/build/scratch

mkdir -p "$scratch"
touch "$scratch/before"
if command -v apk >/dev/null; then
    apk add --no-cache python3
    for major in "$@"; do apk add --no-cache "postgresql$major-client"; done
else
    export DEBIAN_FRONTEND=noninteractive
    apt-get update
    apt-get install -y --no-install-recommends python3 python3-venv
    for major in "$@"; do apt-get install -y --no-install-recommends "postgresql-client-$major"; done
    rm -rf /var/lib/apt/lists/*
fi
sh "$source/docker/install_tool.sh" "$source" "$scratch/pip"
ln -s /opt/aperture-db/bin/aperture-db /usr/local/bin/aperture-db

aperture-db --version
command -v pg_dump >/dev/null || echo "aperture-db backup will not work in this image: it has no \
pg_dump. Build with --build-arg POSTGRESQL_CLIENTS=16, or whatever version the server has." >&2
python3 "$source/docker/collect_added.py" "$scratch/before" / "$into"
