#!/usr/bin/env python3
"""Adds up the 'N passed, N failed, N skipped' lines of the files named and
prints one such line. Exit status 1 when anything failed or nothing passed."""
import re
import sys

CLOSING = re.compile(r"(\d+) passed, (\d+) failed, (\d+) skipped")


def total(lines):
    sums = [0, 0, 0]
    for line in lines:
        found = CLOSING.fullmatch(line.strip())
        if found:
            sums = [a + int(b) for a, b in zip(sums, found.groups())]
    return sums


def main(paths):
    lines = []
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as f:
            lines += f
    passed, failed, skipped = total(lines)
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
