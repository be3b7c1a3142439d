#!/bin/sh
# Builds libllama and installs it in a cache outside the repository, once a
# machine. llama.cpp comes as the PyPI source archive of llama-cpp-python,
# which vendors it; llama.bzl names the version and the archive's hash.
#
#   JOBS           compilers at a time (default: the machine's cores)
#   LLAMA_SDIST    the archive, when it is here already
#   LLAMA_PREFIX   where to install (default: llama-cpp/VERSION in the cache)
#
# Needs python3-pip, cmake, make and g++. About 6 minutes of CPU.
set -eu
here=$(dirname "$0")
constant() { sed -n "s/^$1 = \"\(.*\)\"\$/\1/p" "$here/llama.bzl"; }
version=$(constant VERSION)
sha256=$(constant SDIST_SHA256)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/llama-cpp
prefix=${LLAMA_PREFIX:-$cache/$version}
jobs=${JOBS:-$(nproc)}

is_ready() {
    [ -f "$prefix/VERSION" ] && [ "$(cat "$prefix/VERSION")" = "$version" ]
}
is_ready && exit 0
parent=$(dirname "$prefix")
mkdir -p "$parent"
exec 9>"$parent/.fetch.lock"
flock 9
is_ready && exit 0

work=$(mktemp -d "$parent/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
sdist=${LLAMA_SDIST:-}
if [ -z "$sdist" ]; then
    echo "llama: downloading llama-cpp-python $version"
    # pip makes a small build environment just to read the metadata.
    python3 -m pip download --quiet --no-cache-dir --no-deps \
        --disable-pip-version-check --no-binary llama-cpp-python \
        --dest "$work" "llama-cpp-python==$version"
    sdist=$work/llama_cpp_python-$version.tar.gz
fi
echo "$sha256  $sdist" | sha256sum --check --quiet
source=llama_cpp_python-$version/vendor/llama.cpp
tar -xzf "$sdist" -C "$work" --no-same-owner "$source"

# GGML_NATIVE=ON would tie the library to this very processor. CC, CXX and
# their flags are whatever cmake finds first, so they are pinned here.
echo "llama: building libllama with $jobs jobs (about 6 minutes of CPU)"
if ! {
    env -u CFLAGS -u CXXFLAGS -u LDFLAGS CC=/usr/bin/gcc CXX=/usr/bin/g++ \
        cmake -S "$work/$source" -B "$work/build" -G "Unix Makefiles" \
        -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
        -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_POSITION_INDEPENDENT_CODE=ON \
        -DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON \
        -DGGML_OPENMP=OFF -DGGML_CCACHE=OFF -DLLAMA_OPENSSL=OFF \
        -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TESTS=OFF \
        -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
        -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF &&
    cmake --build "$work/build" -j "$jobs" &&
    cmake --install "$work/build" --prefix "$work/installed"
} >"$work/log" 2>&1; then
    grep -m5 -A3 -i error "$work/log" || tail -20 "$work/log"
    exit 1
fi
# Last, and in one step: a half-made prefix is never seen.
echo "$version" >"$work/installed/VERSION"
rm -rf "$prefix"
mv -T "$work/installed" "$prefix"
echo "llama: libllama is ready"
