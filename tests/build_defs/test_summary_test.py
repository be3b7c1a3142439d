"""What `./dev test` counts, from build events as Bazel 4.2.3 writes them."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, "build_defs")
import sum_lines  # noqa: E402
import test_summary  # noqa: E402

XML = """<?xml version="1.0"?>
<testsuites><testsuite name="A">
  <testcase name="Passes" status="run" classname="A"/>
  <testcase name="Skips" status="run" classname="A">
    <skipped message="a_test.cc:2&#x0A;no device here"/>
  </testcase>
  <testcase name="DISABLED_Off" status="notrun" classname="A"/>
  %s
</testsuite></testsuites>
"""
FAILING = '<testcase name="Fails" classname="A"><failure/></testcase>'


def ran(label, status, xml_path, attempt=1):
    return {
        "id": {"testResult": {"label": label, "run": 1, "shard": 1,
                              "attempt": attempt}},
        "testResult": {
            "status": status,
            "testActionOutput": [
                {"name": "test.xml", "uri": "file://" + xml_path}],
        },
    }


class SummaryTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def xml(self, extra=""):
        path = os.path.join(self.folder.name, "test%d.xml" % len(extra))
        with open(path, "w", encoding="utf-8") as f:
            f.write(XML % extra)
        return path

    def lines(self, events, bazel_exit=0):
        return list(test_summary.summarize(events, bazel_exit).lines())

    def test_counts_cases_and_names_the_skipped(self):
        self.assertEqual(
            self.lines([ran("//t:a", "PASSED", self.xml())]),
            ["SKIPPED: //t:a A.Skips: no device here",
             "SKIPPED: //t:a A.DISABLED_Off: disabled in the source",
             "1 passed, 0 failed, 2 skipped"])

    def test_names_the_failed(self):
        lines = self.lines([ran("//t:a", "FAILED", self.xml(FAILING))], 3)
        self.assertIn("FAILED: //t:a A.Fails", lines)
        self.assertEqual(lines[-1], "1 passed, 1 failed, 2 skipped")

    def test_a_target_that_dies_after_its_cases_has_failed(self):
        lines = self.lines([ran("//t:a", "FAILED", self.xml())], 3)
        self.assertIn("FAILED: //t:a FAILED", lines)
        self.assertEqual(lines[-1], "1 passed, 1 failed, 2 skipped")

    def test_a_later_attempt_replaces_the_earlier(self):
        lines = self.lines([ran("//t:a", "FAILED", self.xml(FAILING)),
                            ran("//t:a", "PASSED", self.xml(), 2)])
        self.assertEqual(lines[-1], "1 passed, 0 failed, 2 skipped")

    def test_an_incompatible_target_is_skipped_by_name(self):
        lines = self.lines([
            {"id": {"targetCompleted": {"label": "//t:l"}},
             "aborted": {"reason": "SKIPPED"}}])
        self.assertTrue(lines[0].startswith("SKIPPED: //t:l: "), lines)
        self.assertEqual(lines[-1], "0 passed, 0 failed, 1 skipped")

    def test_a_target_that_does_not_build_has_failed(self):
        lines = self.lines([
            {"id": {"targetCompleted": {"label": "//t:b"}},
             "completed": {"success": False}}], 1)
        self.assertEqual(lines, ["FAILED: //t:b did not build",
                                 "0 passed, 1 failed, 0 skipped"])

    def test_a_failure_of_bazel_alone_is_a_failure(self):
        self.assertEqual(self.lines([], 2),
                         ["FAILED: bazel ended with exit status 2",
                          "0 passed, 1 failed, 0 skipped"])

    def test_a_missing_xml_leaves_the_status_to_decide(self):
        lines = self.lines([ran("//t:a", "TIMEOUT", "/nowhere/test.xml")], 3)
        self.assertEqual(lines, ["FAILED: //t:a TIMEOUT",
                                 "0 passed, 1 failed, 0 skipped"])


class SumLinesTest(unittest.TestCase):
    def test_adds_up_closing_lines_only(self):
        lines = ["1 passed, 2 failed, 3 skipped\n", "noise 5 passed\n",
                 "10 passed, 20 failed, 30 skipped\n"]
        self.assertEqual(sum_lines.total(lines), [11, 22, 33])
