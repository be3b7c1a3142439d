#!/bin/sh
# Fetches NVIDIA's nvCOMP, to be measured beside our codecs by gpu_selftest,
# into a cache outside the repository, once, and prints the folder: the library,
# its LICENSE and its NOTICE. NVIDIA's licence is for use on systems with
# NVIDIA's GPUs; nothing of it is to be committed or shipped. Needs python3-pip.
#
#   NVCOMP_PREFIX   such a folder, when there is one already
set -eu
version=6.0.0.12
if [ -n "${NVCOMP_PREFIX:-}" ]; then
    echo "$NVCOMP_PREFIX"
    exit
fi
cache=${XDG_CACHE_HOME:-$HOME/.cache}/reprise/nvcomp
folder=$cache/$version
if [ ! -d "$folder" ]; then
    echo "nvcomp: downloading $version, 30 MB; its licence:" >&2
    echo "nvcomp: $folder/LICENSE" >&2
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/.fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM
    python3 -m pip download --quiet --no-cache-dir --no-deps \
        --disable-pip-version-check --only-binary :all: --dest "$work" \
        nvidia-libnvcomp-cu13==$version
    python3 - "$work" <<'PYTHON'
import glob, os, sys, zipfile
work = sys.argv[1]
wheel, = glob.glob(os.path.join(work, "*.whl"))
os.mkdir(os.path.join(work, "nvcomp"))
with zipfile.ZipFile(wheel) as source:
    for name in ("lib64/libnvcomp.so.6", "LICENSE", "NOTICE"):
        to = os.path.join(work, "nvcomp", os.path.basename(name))
        with open(to, "wb") as out:
            out.write(source.read("nvidia/libnvcomp/" + name))
PYTHON
    sha256=5406940cd9e039749b2ca13444499380057c2ea7250fe2b0504395351533915b
    echo "$sha256  $work/nvcomp/libnvcomp.so.6" | sha256sum --check --quiet >&2
    # In one step: a half-made folder is never seen.
    mv -T "$work/nvcomp" "$folder" || [ -d "$folder" ]
fi
echo "$folder"
