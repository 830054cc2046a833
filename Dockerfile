# The image of aperture-db:
#     docker build -t aperture-db .
# Aperture's own image with aperture-db in it:
#     docker build -t aperture-with-db --target aperture --build-arg APERTURE_IMAGE=… .
# docs/docker.md explains both.

# `make lock` adds the digest that the tag has.
ARG DEBIAN=debian:trixie-slim
ARG APERTURE_IMAGE=aperture


# --- The client programs of PostgreSQL ---------------------------------------------------------
FROM ${DEBIAN} AS clients

# A server needs a pg_dump at least as new as itself, and gets the oldest such one, because what
# pg_dump 17 writes no PostgreSQL 16 restores. Debian has 17; others come from apt.postgresql.org.
ARG POSTGRESQL_CLIENTS="16 17 18"
COPY docker/collect_clients.sh /build/
RUN sh /build/collect_clients.sh /clients $POSTGRESQL_CLIENTS


# --- The tool, in a virtual environment --------------------------------------------------------
FROM ${DEBIAN} AS tool

# Debian's stable release keeps versions and mends them in place; a pinned one soon is not there.
# hadolint ignore=DL3008
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv \
 && rm -rf /var/lib/apt/lists/*
COPY . /build/source
RUN sh /build/source/docker/install_tool.sh /build/source /build/scratch


# --- The image ---------------------------------------------------------------------------------
FROM ${DEBIAN} AS aperture-db

# libpq5 and libreadline8t64 are what the client programs need, lz4 and zstd decompress dumps.
# hadolint ignore=DL3008
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates libpq5 libreadline8t64 lz4 python3 tini zstd \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 1000 --user-group --home-dir /nonexistent --shell /usr/sbin/nologin aperture \
 && install --directory --owner=aperture --group=aperture /backups
COPY --from=clients /clients/ /
COPY --from=tool /opt/aperture-db /opt/aperture-db
COPY docker/healthcheck.sh /usr/local/lib/aperture-db/
# Finds out now, and not in the night of the first backup, what lacks a library.
RUN ldconfig \
 && for program in /usr/lib/postgresql/*/bin/*; do "$program" --version || exit 1; done \
 && /opt/aperture-db/bin/aperture-db --version

ENV PATH=/opt/aperture-db/bin:$PATH \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /backups
VOLUME /backups
USER 1000:1000
HEALTHCHECK --interval=30s --timeout=15s --start-period=5m \
    CMD ["sh", "/usr/local/lib/aperture-db/healthcheck.sh"]
# tini passes signals on, which a program that is not made for process 1 would not hear, and
# buries what `docker exec` leaves behind.
ENTRYPOINT ["tini", "--", "/opt/aperture-db/bin/python", "-m", "aperture_db.cli.entrypoint"]
# Nothing to do but to be there for `docker exec`.
CMD ["sleep", "infinity"]


# --- Aperture's own image, and the tool in it --------------------------------------------------
FROM ${APERTURE_IMAGE} AS addition

# hadolint ignore=DL3002
USER 0
# Aperture's image has a pg_dump for its own backups; this adds others, such as "17 18".
ARG POSTGRESQL_CLIENTS=""
COPY . /build/source
RUN sh /build/source/docker/add_to_aperture.sh /addition $POSTGRESQL_CLIENTS

# Only COPY and ENV: whatever user, command and entry point Aperture's image has, it keeps.
FROM ${APERTURE_IMAGE} AS aperture
COPY --from=addition /addition/ /
# Aperture's own files, so that migrate follows its version and not this tool's.
ENV APERTURE_MIGRATIONS_DIR=/app/db/migrations


# --- What is built where no target is named ----------------------------------------------------
FROM aperture-db
