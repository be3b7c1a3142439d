#!/usr/bin/env python3
"""The test cases of one 'bazel test', summed from its build event file (JSON lines)."""
import json
import sys
import urllib.parse
import xml.etree.ElementTree as ET


def cases(uri):
    """(passed, skipped, names of the failed) in a test.xml of GoogleTest, or of Bazel itself for other tests."""
    try:
        root = ET.parse(urllib.parse.unquote(uri[len("file://"):])).getroot()
    except (OSError, ET.ParseError):
        return 0, 0, []
    passed, skipped, failed = 0, 0, []
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append("%s.%s" % (case.get("classname", ""), case.get("name", "")))
        elif case.find("skipped") is not None or case.get("status") == "notrun":
            skipped += 1
        else:
            passed += 1
    return passed, skipped, failed


def main(path, bazel_exit):
    with open(path, encoding="utf-8", errors="replace") as f:
        events = [json.loads(line) for line in f if line.strip()]
    attempts = {}  # a flaky test's later attempt replaces the earlier
    for e in events:
        ident = e.get("id", {}).get("testResult")
        if ident and "testResult" in e:
            attempts[ident["label"], ident.get("run", 1), ident.get("shard", 1)] = e["testResult"]
    passed, skipped, failed = 0, 0, []
    for (label, _, _), result in attempts.items():
        bad = []
        for out in result.get("testActionOutput", []):
            if out.get("name") == "test.xml" and out.get("uri", "").startswith("file://"):
                p, s, bad = cases(out["uri"])
                passed, skipped = passed + p, skipped + s
        if not bad and result.get("status") not in ("PASSED", "FLAKY"):
            bad = [result.get("status", "no status")]
        failed += ["%s %s" % (label, b) for b in bad]
    run = {label for label, _, _ in attempts}
    for e in events:  # what could not be analysed or built
        ident = e.get("id", {}).get("targetCompleted")
        if ident and ident["label"] not in run and not e.get("completed", {}).get("success"):
            failed.append("%s did not build" % ident["label"])
    if bazel_exit and not failed:
        failed.append("bazel ended with exit status %d" % bazel_exit)
    for line in failed:
        print("FAILED: " + line)
    print("%d passed, %d failed, %d skipped" % (passed, len(failed), skipped))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
