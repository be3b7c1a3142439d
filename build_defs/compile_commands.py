#!/usr/bin/env python3
"""Writes compile_commands.json, for clangd and clang-tidy, from `bazel
aquery`; arguments go to it (--config=...). Generated headers must be built."""
import json
import os
import subprocess
import sys


def bazel(*arguments):
    done = subprocess.run(["bazel", *arguments], capture_output=True,
                          text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def entries(arguments):
    """{source: its entry}, with Bazel's relative external paths resolved."""
    root = bazel("info", "workspace").strip()
    base = bazel("info", "output_base").strip()
    actions = json.loads(bazel("aquery", "--output=jsonproto", *arguments,
                               'mnemonic("CppCompile", //...)'))
    found = {}
    for action in actions.get("actions", []):
        argv = action["arguments"]
        source = argv[argv.index("-c") + 1]
        if source.startswith(("external/", "bazel-out/")):
            continue
        argv = [os.path.join(base, a) if a.startswith("external/") else a
                for a in argv if a != "-fno-canonical-system-headers"]
        found.setdefault(source, {"directory": root, "file": source,
                                  "arguments": argv})
    return root, found


def main(arguments):
    root, found = entries(arguments)
    path = os.path.join(root, "compile_commands.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(list(found.values()), f, indent=1)
    print(len(found), "files")


if __name__ == "__main__":
    main(sys.argv[1:])
