#!/bin/sh
# install_tool.sh SOURCE SCRATCH
#
# Installs the tool from its source into /opt/aperture-db; pip itself stays behind in SCRATCH.
set -eu

source=$1
scratch=$2

python3 -m venv "$scratch"
python3 -m venv --without-pip /opt/aperture-db
"$scratch/bin/pip" --python /opt/aperture-db/bin/python install --no-cache-dir "$source"
# Tells the tool that it is part of an image, where nothing else gets installed.
touch /opt/aperture-db/part-of-an-image
