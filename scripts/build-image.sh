#!/bin/sh
# build-image.sh
#
# Carries out the steps of the Dockerfile where neither Docker nor Podman is at hand, and tries the
# images that come out: with buildah, which needs no daemon and, with chroot isolation, no
# namespaces. Base images are not fetched but made, by debootstrap, under the names that FROM
# gives; for Aperture's own image a Debian with a user, a command and an entry point stands in.
#
# Takes some minutes. To be run as root, with the Debian packages buildah and debootstrap, and
# access to Debian's and Python's packages. Settings:
#
#   DATABASE_URL         an empty database to try the tool on: it gets every migration
#   POSTGRESQL_CLIENTS   the versions to install; 17 is all that Debian has
#   BUILD_ROOT           keeps the base system and the images: /var/tmp/aperture-db-build
set -eu

source=$(cd "$(dirname "$0")/.." && pwd)
root=${BUILD_ROOT:-/var/tmp/aperture-db-build}
debian=docker.io/library/debian:trixie-slim
authorities=/etc/ssl/certs/ca-certificates.crt
database=${DATABASE_URL:-}

main() {
    for program in buildah debootstrap; do
        command -v "$program" >/dev/null || {
            echo "$program is missing: apt-get install -y buildah debootstrap" >&2
            exit 1
        }
    done
    mkdir -p "$root"

    make_debian
    make_aperture
    build aperture-db --build-arg "POSTGRESQL_CLIENTS=${POSTGRESQL_CLIENTS:-17}"
    build aperture-with-db --target aperture --build-arg APERTURE_IMAGE=localhost/aperture

    try_image aperture-db
    try_the_waiting_container
    try_image aperture-with-db
    say "done"
}

engine() {
    buildah --root "$root/images" --runroot "$root/run" --storage-driver vfs "$@"
}

say() {
    printf '\n== %s\n' "$*"
}

make_debian() {
    say "making $debian"
    if [ ! -e "$root/system.tar" ]; then
        debootstrap --variant=minbase trixie "$root/system" http://deb.debian.org/debian
        slim_down "$root/system"
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

# Leaves out what Debian's slim images leave out, and lets apt and dpkg go on with that.
slim_down() {
    (cd "$1" && rm -rf usr/share/doc/* usr/share/info/* usr/share/locale/* usr/share/man/* \
        var/cache/apt/* var/lib/apt/lists/*)
    printf 'path-exclude /usr/share/%s/*\n' doc info locale man >"$1/etc/dpkg/dpkg.cfg.d/docker"
    cat >"$1/etc/apt/apt.conf.d/docker-clean" <<'END'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
END
}

# What has to come through untouched: a user that is not root, a command, an entry point.
make_aperture() {
    say "making localhost/aperture, the stand-in for Aperture's image"
    container=$(engine from --pull-never "$debian")
    engine run --isolation chroot "$container" -- useradd --uid 1000 --create-home node
    engine copy --quiet "$container" "$source/migrations" /app/db/migrations
    engine config --user node --workingdir /app --entrypoint '["/bin/echo", "entry point"]' \
        --cmd command "$container"
    engine commit --quiet --rm "$container" localhost/aperture
}

# A network that opens TLS has an authority of its own: pip has to trust what this machine trusts.
build() {
    name=$1
    shift
    say "building $name"
    printf '[global]\ncert = /run/authorities.crt\n' >"$root/pip.conf"
    engine build --quiet --isolation chroot --pull-never --format docker \
        --volume "$authorities:/run/authorities.crt:ro" \
        --volume "$root/pip.conf:/etc/pip.conf:ro" \
        --file "$source/Dockerfile" --tag "$name" --build-arg "DEBIAN=$debian" "$@" "$source"
}

setting() {
    engine inspect --type image --format "{{$2}}" "localhost/$1"
}

try_image() {
    open_image "$1"
    say "$1: $(du -sm "$system" | cut -f 1) MB"
    echo "user $user, directory $(setting "$1" .Docker.Config.WorkingDir)"
    echo "entry point $(setting "$1" .Docker.Config.Entrypoint)"
    echo "command $(setting "$1" .Docker.Config.Cmd)"
    try id
    try aperture-db --version
    if [ -n "$database" ]; then
        if [ "$1" = aperture-db ]; then
            try RUN_MIGRATIONS_ON_START=true tini -- \
                /opt/aperture-db/bin/python -m aperture_db.cli.entrypoint migrate --check
            try RUN_MIGRATIONS_ON_START=true sh /usr/local/lib/aperture-db/healthcheck.sh
            try sh -c 'aperture-db backup --dir /backups && aperture-db backup --list --dir /backups'
        fi
        try aperture-db stats
        [ "$1" = aperture-db ] || try "$(setting "$1" 'range .Docker.Config.Env}}{{println .}}{{end' |
            grep '^APERTURE_MIGRATIONS_DIR=')" aperture-db migrate --status --quiet
    fi
    close_image
}

# Sets what `inside` works with.
open_image() {
    container=$(engine from --pull-never "localhost/$1")
    system=$(engine mount "$container")
    user=$(setting "$1" .Docker.Config.User)
    path=$(setting "$1" 'range .Docker.Config.Env}}{{println .}}{{end' | grep '^PATH=')
}

close_image() {
    engine rm "$container" >/dev/null
}

try() {
    echo "\$ $*"
    inside "$@" || echo "exit code $?"
}

# Runs NAME=VALUE … COMMAND as a locked-down engine would: as process 1 of its own, on a read-only
# root file system, with only /tmp and /backups to write to.
inside() {
    # shellcheck disable=SC2016
    unshare --mount --propagation private --pid --fork --kill-child sh -euc '
        system=$1 user=$2
        shift 2
        mount --bind "$system" "$system"
        mount -o remount,bind,ro "$system"
        mount -t proc proc "$system/proc"
        mount --rbind /dev "$system/dev"
        mount -t tmpfs tmpfs "$system/tmp"
        [ ! -d "$system/backups" ] || mount -t tmpfs -o uid=1000,gid=1000 tmpfs "$system/backups"
        exec chroot --userspec="$user" "$system" /usr/bin/env -i "$@"
    ' sh "$system" "$user" "$path" ${database:+"DATABASE_URL=$database"} "$@"
}

# The command that does nothing has to end at once when it is told to: Docker would wait 10 s.
try_the_waiting_container() {
    say "aperture-db: its own command, and SIGTERM"
    open_image aperture-db
    inside tini -- /opt/aperture-db/bin/python -m aperture_db.cli.entrypoint sleep infinity &
    outside=$!
    until between=$(pgrep -x unshare -P "$outside") && first=$(pgrep -x tini -P "$between") \
        && pgrep -x sleep -P "$first" >/dev/null; do
        sleep 0.1
    done
    started=$(date +%s%N)
    kill -TERM "$first"
    wait "$outside" || code=$?
    echo "exit code ${code:-0} after $((($(date +%s%N) - started) / 1000000)) ms"
    close_image
}

main
