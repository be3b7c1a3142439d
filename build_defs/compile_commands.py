#!/usr/bin/env python3
"""compile_commands.json for clangd and clang-tidy, from 'bazel aquery'. Arguments go to aquery (--config=...)."""
import json
import os
import subprocess
import sys


def bazel(*args):
    done = subprocess.run(["bazel", *args], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


root = bazel("info", "workspace").strip()
base = bazel("info", "output_base").strip()
actions = json.loads(bazel("aquery", "--output=jsonproto", *sys.argv[1:], 'mnemonic("CppCompile", //...)'))
entries = {}
for action in actions.get("actions", []):
    argv = action["arguments"]
    src = argv[argv.index("-c") + 1]
    if src.startswith(("external/", "bazel-out/")):
        continue
    argv = [base + "/" + a if a.startswith("external/") else a for a in argv if a != "-fno-canonical-system-headers"]
    entries.setdefault(src, {"directory": root, "file": src, "arguments": argv})
with open(os.path.join(root, "compile_commands.json"), "w") as f:
    json.dump(list(entries.values()), f, indent=1)
print(len(entries), "files")
