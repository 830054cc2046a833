#!/bin/sh
# build-image.sh
#
# Carries out the steps of the Dockerfile where neither Docker nor Podman is at hand, and tries the
# images that come out: with buildah, which needs no daemon and, with chroot isolation, no
# namespaces. Base images are not fetched but made, by debootstrap, under the names that FROM
# gives; for Aperture's own image a Debian with a user and a command stands in.
#
# To be run as root, with the Debian packages buildah and debootstrap, and access to Debian's and
# Python's packages. Settings:
#
#   DATABASE_URL         a database to try the tool on; nothing in it is changed
#   POSTGRESQL_CLIENTS   the versions to install; 17 is all that Debian has
#   BUILD_ROOT           keeps the base system and the images: /var/tmp/aperture-db-build
set -eu

source=$(cd "$(dirname "$0")/.." && pwd)
root=${BUILD_ROOT:-/var/tmp/aperture-db-build}
debian=docker.io/library/debian:trixie-slim
authorities=/etc/ssl/certs/ca-certificates.crt

main() {
    for program in buildah debootstrap; do
        command -v "$program" >/dev/null || {
            echo "$program is missing: apt-get install -y buildah debootstrap" >&2
            exit 1
        }
    done
    mkdir -p "$root"
    write_pip_settings

    make_debian
    make_aperture
    build aperture-db --build-arg "POSTGRESQL_CLIENTS=${POSTGRESQL_CLIENTS:-17}"
    build aperture-with-db --target aperture --build-arg APERTURE_IMAGE=localhost/aperture
    show_settings aperture-db
    show_settings aperture-with-db
    try_image aperture-db
    try_image aperture-with-db
}

engine() {
    buildah --root "$root/images" --runroot "$root/run" --storage-driver vfs "$@"
}

say() {
    printf '\n== %s\n' "$*"
}

# A network that opens TLS has an authority of its own, which pip has to trust as this machine does.
write_pip_settings() {
    printf '[global]\ncert = /run/authorities.crt\n' >"$root/pip.conf"
}

make_debian() {
    say "making $debian"
    if [ ! -e "$root/system.tar" ]; then
        debootstrap --variant=minbase trixie "$root/system" http://deb.debian.org/debian
        tar --create --file "$root/system.tar.partial" --directory "$root/system" .
        mv "$root/system.tar.partial" "$root/system.tar"
        rm -rf "$root/system"
    fi
    container=$(engine from scratch)
    engine add --quiet "$container" "$root/system.tar" /
    engine config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        --cmd bash "$container"
    engine commit --quiet --rm "$container" "$debian"
}

# What has to come through untouched: a user that is not root, a command, an entry point.
make_aperture() {
    say "making localhost/aperture, the stand-in for Aperture's image"
    container=$(engine from --pull-never "$debian")
    engine run --isolation chroot "$container" -- useradd --uid 1000 --create-home node
    engine config --user node --workingdir /app --entrypoint '["/bin/echo", "entry point"]' \
        --cmd command "$container"
    engine commit --quiet --rm "$container" localhost/aperture
}

build() {
    name=$1
    shift
    say "building $name"
    engine build --quiet --isolation chroot --pull-never --format docker \
        --volume "$authorities:/run/authorities.crt:ro" \
        --volume "$root/pip.conf:/etc/pip.conf:ro" \
        --file "$source/Dockerfile" --tag "$name" "$@" "$source"
}

show_settings() {
    say "settings of $1"
    engine inspect --type image --format \
        'user {{.Docker.Config.User}}, entry point {{.Docker.Config.Entrypoint}}, command {{.Docker.Config.Cmd}}, directory {{.Docker.Config.WorkingDir}}' \
        "localhost/$1"
}

try_image() {
    say "trying $1"
    container=$(engine from --pull-never "localhost/$1")
    run() {
        echo "\$ $*"
        engine run --isolation chroot --env "DATABASE_URL=${DATABASE_URL:-}" "$container" -- "$@"
    }
    run id
    run aperture-db --version
    if [ -n "${DATABASE_URL:-}" ]; then
        run aperture-db migrate --status --quiet
        run aperture-db stats
    fi
    engine rm "$container" >/dev/null
}

main
