#!/bin/sh
# Prints the path of a cuobjdump: that of the CUDA Toolkit, or else one that is
# fetched into a cache outside the repository, once. Needs python3-pip.
set -eu
for home in "${CUDA_HOME:-}" "${CUDA_PATH:-}" /usr/local/cuda; do
    if [ -n "$home" ] && [ -x "$home/bin/cuobjdump" ]; then
        echo "$home/bin/cuobjdump"
        exit
    fi
done
cache=${XDG_CACHE_HOME:-$HOME/.cache}/reprise/cuobjdump
if [ ! -x "$cache/cuobjdump" ]; then
    echo "cuobjdump: downloading it" >&2
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    python3 -m pip download --quiet --no-cache-dir --no-deps \
        --disable-pip-version-check --only-binary :all: --dest "$work" \
        nvidia-cuda-cuobjdump==13.2.51
    python3 - "$work" <<'PYTHON'
import glob, os, sys, zipfile
wheel, = glob.glob(os.path.join(sys.argv[1], "*.whl"))
with zipfile.ZipFile(wheel) as source:
    name, = [n for n in source.namelist() if n.endswith("/bin/cuobjdump")]
    with open(os.path.join(sys.argv[1], "cuobjdump"), "wb") as out:
        out.write(source.read(name))
PYTHON
    sha256=903c5e1324669c1222b13ede0fc7226f48f7db355669f2912f0236031c56e1bf
    echo "$sha256  $work/cuobjdump" | sha256sum --check --quiet >&2
    mkdir -p "$cache"
    chmod +x "$work/cuobjdump"
    mv "$work/cuobjdump" "$cache/cuobjdump"
fi
echo "$cache/cuobjdump"
