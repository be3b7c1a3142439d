#!/usr/bin/env python3
"""Checks what the compiler doesn't: size, names, layers, homes, words.

    lint.py [--fast]

Prints `file:line: message` for each finding and closes with the number of
checks as `N passed, N failed, N skipped`. --fast leaves out the checks that
run a program. A check is a function over the files of the tree; its first
docstring is the rule. lint_test.py proves of each that it can fail.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import cpp_checks  # noqa: E402
import source_tree  # noqa: E402
import text_checks  # noqa: E402
import tool_checks  # noqa: E402

TEXT_CHECKS = [
    text_checks.file_length,
    text_checks.columns,
    text_checks.whitespace,
    text_checks.file_names,
    text_checks.machine_paths,
    text_checks.registry_hosts,
    text_checks.unfinished,
    text_checks.listed_in_build,
    cpp_checks.function_length,
    cpp_checks.include_guards,
    cpp_checks.third_party_homes,
    cpp_checks.layers,
    cpp_checks.aborts,
    cpp_checks.dead_code,
]
TOOL_CHECKS = [
    tool_checks.clang_format,
    tool_checks.headers_compile,
]


def root_folder():
    """Of the repository, also when this file is reached through a link."""
    here = os.path.dirname(os.path.realpath(__file__))
    return os.path.dirname(os.path.dirname(here))


def main(arguments):
    if arguments not in ([], ["--fast"]):
        sys.exit(__doc__)
    root = root_folder()
    files = source_tree.read_tree(root)
    checks = [(check.__name__, check, (files,)) for check in TEXT_CHECKS]
    if not arguments:
        checks += [(c.__name__, c, (root, files)) for c in TOOL_CHECKS]
    failed = []
    for name, check, inputs in checks:
        findings = list(check(*inputs))
        for finding in findings:
            print(finding)
        if findings:
            failed.append("%s: %d findings" % (name, len(findings)))
    for line in failed:
        print("FAILED: lint " + line)
    print("%d files checked" % len(files))
    print("%d passed, %d failed, 0 skipped" %
          (len(checks) - len(failed), len(failed)))
    return 1 if failed or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
