"""Checks that run a program: clang-format and the compiler."""
import concurrent.futures
import os
import re
import subprocess
import tempfile

from source_tree import Finding


def clang_format(root, files):
    """Each C++ file is as clang-format leaves it."""
    paths = [f.path for f in files if f.is_cpp]
    if not paths:
        return
    done = subprocess.run(["clang-format", "--dry-run", *paths], cwd=root,
                          capture_output=True, text=True, check=False)
    if done.returncode:
        yield Finding(".clang-format", 1, done.stderr.strip())
    seen = set()
    for path, line in re.findall(r"^(\S+?):(\d+):\d+: warning", done.stderr,
                                 re.MULTILINE):
        if path not in seen:  # one a file is enough
            seen.add(path)
            yield Finding(path, int(line), "not formatted: ./dev fmt")


def _generate(root, files, folder):
    """The headers that flatc would make, below `folder`."""
    for file in files:
        if file.suffix == ".fbs":
            out = os.path.join(folder, os.path.dirname(file.path))
            os.makedirs(out, exist_ok=True)
            subprocess.run(
                ["flatc", "--cpp", "--cpp-std", "c++17", "--scoped-enums",
                 "--gen-object-api", "--reflect-names", "-I", ".", "-o", out,
                 file.path], cwd=root, check=True)


def _compile(root, folder, path):
    command = ["g++", "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra",
               "-Werror", "-Wno-unused-parameter",
               "-Wno-missing-field-initializers", "-I", ".", "-I", folder,
               "-x", "c++", "-"]
    # Twice: the guard is tried too.
    text = '#include "%s"\n' % path * 2
    return subprocess.run(command, input=text, cwd=root, text=True,
                          capture_output=True, check=False)


def _need_llama(files):
    """Paths of files that include a header of llama.cpp, or one that does."""
    includes = {file.path: [name for _, name, _ in file.includes()]
                for file in files if file.is_cpp}
    needing = set()
    while True:
        found = {path for path, names in includes.items() for name in names
                 if name in needing or re.match(r"(llama|ggml|gguf)\b", name)}
        if found == needing:
            return needing
        needing = found


def headers_compile(root, files):
    """Each header compiles alone, included twice. Those that need a header of
    llama.cpp are left to the build."""
    needing = _need_llama(files)
    paths = [file.path for file in files
             if file.is_cpp and file.suffix == ".h"
             and file.path not in needing
             and not file.name.endswith("-inl.h")]
    with tempfile.TemporaryDirectory() as folder:
        _generate(root, files, folder)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            runs = pool.map(lambda p: _compile(root, folder, p), paths)
            for path, run in zip(paths, runs):
                if run.returncode:
                    yield _first_error(path, run.stderr)


def _first_error(path, stderr):
    found = re.search(r"^(\S+?):(\d+):.*?error: (.*)$", stderr, re.MULTILINE)
    if not found:
        return Finding(path, 1, "does not compile alone")
    where = "" if found.group(1) == path else "%s:%s: " % found.group(1, 2)
    return Finding(path, int(found.group(2)) if not where else 1,
                   "does not compile alone: " + where + found.group(3))
