#!/bin/sh
# Healthy is a container that reaches its database, and whose database has every migration where
# the container was told to apply them.
if [ "${RUN_MIGRATIONS_ON_START:-}" = true ]; then
    set -- migrate --check
else
    set -- health --only reachable
fi
# Docker knows 0 and 1 only.
aperture-db "$@" --quiet || exit 1
