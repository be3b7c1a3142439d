#!/usr/bin/env python3
"""The test cases of one `bazel test`, summed from its build event file.

    test_summary.py EVENTS_JSON [BAZEL_EXIT_STATUS]

Bazel itself counts targets and hides what was skipped. This prints a line for
each failed and each skipped case with its reason, and closes with

    N passed, N failed, N skipped

A target that can't be built here (no libllama, no model) counts as one
skipped. Exit status 1 when anything failed or nothing passed.
"""
import collections
import json
import sys
import urllib.parse
import xml.etree.ElementTree as ET

Skipped = collections.namedtuple("Skipped", "name reason")

# What bazel says of a target whose dependency has a constraint that the
# machine does not meet.
INCOMPATIBLE = ("a dependency is missing on this machine "
                "(libllama or its model: ./dev setup fetches them)")


class Summary:
    def __init__(self):
        self.passed = 0
        self.failed = []  # names
        self.skipped = []  # Skipped

    def add_case(self, label, case):
        name = "%s %s.%s" % (label, case.get("classname", ""),
                             case.get("name", ""))
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            self.failed.append(name)
        elif skipped is not None:
            self.skipped.append(Skipped(name, skip_reason(skipped)))
        elif case.get("status") == "notrun":
            self.skipped.append(Skipped(name, "disabled in the source"))
        else:
            self.passed += 1

    def add_result(self, label, result):
        """The cases of one run of a test; the target's status decides when
        all of them passed: a sanitizer may speak up after the last."""
        before = len(self.failed)
        for case in xml_cases(result):
            self.add_case(label, case)
        status = result.get("status", "no status")
        if len(self.failed) == before and status not in ("PASSED", "FLAKY"):
            self.failed.append("%s %s" % (label, status))

    def lines(self):
        for name, reason in self.skipped:
            yield "SKIPPED: %s: %s" % (name, reason)
        for name in self.failed:
            yield "FAILED: " + name
        yield "%d passed, %d failed, %d skipped" % (
            self.passed, len(self.failed), len(self.skipped))


def skip_reason(skipped):
    """GoogleTest's message is 'FILE:LINE' and then the test's own words."""
    lines = (skipped.get("message") or "").strip().split("\n")
    words = " ".join(line.strip() for line in lines[1:]).strip()
    return words or lines[0] or "no reason given"


def xml_cases(result):
    """The <testcase>s of the test.xml: GoogleTest's, ours, or Bazel's own."""
    for out in result.get("testActionOutput", []):
        uri = out.get("uri", "")
        if out.get("name") != "test.xml" or not uri.startswith("file://"):
            continue
        try:
            path = urllib.parse.unquote(uri[len("file://"):])
            yield from ET.parse(path).getroot().iter("testcase")
        except (OSError, ET.ParseError):
            pass  # the target's status tells


def read_events(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return [json.loads(line) for line in f if line.strip()]


def summarize(events, bazel_exit):
    summary = Summary()
    results = {}  # a flaky test's later attempt replaces the earlier
    for event in events:
        key = event.get("id", {}).get("testResult")
        if key and "testResult" in event:
            run = (key["label"], key.get("run", 1), key.get("shard", 1))
            results[run] = event["testResult"]
    for (label, _, _), result in results.items():
        summary.add_result(label, result)
    ran = {label for label, _, _ in results}
    for event in events:  # what was not run at all
        key = event.get("id", {}).get("targetCompleted")
        if not key or key["label"] in ran:
            continue
        if event.get("aborted", {}).get("reason") == "SKIPPED":
            summary.skipped.append(Skipped(key["label"], INCOMPATIBLE))
        elif not event.get("completed", {}).get("success"):
            summary.failed.append(key["label"] + " did not build")
    if bazel_exit and not summary.failed:
        summary.failed.append("bazel ended with exit status %d" % bazel_exit)
    return summary


def main(path, bazel_exit):
    summary = summarize(read_events(path), bazel_exit)
    for line in summary.lines():
        print(line)
    return 1 if summary.failed or not summary.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
