#!/bin/sh
# install_tool.sh SOURCE SCRATCH
#
# Installs the tool from its source into /opt/aperture-db; pip itself stays behind in SCRATCH. What
# is downloaded must have the hashes of the lock files, which `make lock` renews.
set -eu

source=$1
scratch=$2

python3 -m venv "$scratch"
python3 -m venv --without-pip /opt/aperture-db
locks=$source/docker
"$scratch/bin/pip" install --no-cache-dir --require-hashes -r "$locks/build-requirements.txt"
"$scratch/bin/pip" wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir "$scratch" \
    "$source"
"$scratch/bin/pip" --python /opt/aperture-db/bin/python install --no-cache-dir --only-binary :all: \
    --require-hashes -r "$locks/requirements.txt"
"$scratch/bin/pip" --python /opt/aperture-db/bin/python install --no-cache-dir --no-deps \
    --no-index "$scratch"/aperture_db-*.whl
# Tells the tool that it is part of an image, where nothing else gets installed.
touch /opt/aperture-db/part-of-an-image
