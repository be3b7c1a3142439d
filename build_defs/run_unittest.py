"""Runs the unittest module whose path is given and reports its cases to Bazel
one by one: in $XML_OUTPUT_FILE, in the form that GoogleTest uses."""
import importlib.util
import os
import sys
import time
import unittest
import xml.etree.ElementTree as ET


class Recorder(unittest.TextTestResult):
    """The usual text output, and a <testcase> for each case."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.suite = ET.Element("testsuite", name="python")

    def startTest(self, test):
        super().startTest(test)
        self.started = time.monotonic()
        _, _, name = test.id().rpartition(".")
        self.case = ET.SubElement(self.suite, "testcase", name=name,
                                  classname=type(test).__name__)

    def stopTest(self, test):
        super().stopTest(test)
        self.case.set("time", "%.3f" % (time.monotonic() - self.started))

    def addFailure(self, test, err):
        super().addFailure(test, err)
        ET.SubElement(self.case, "failure", message=str(err[1]))

    def addError(self, test, err):
        super().addError(test, err)
        if not hasattr(self, "case"):  # in the set-up of a class
            self.case = ET.SubElement(self.suite, "testcase", name=str(test))
        ET.SubElement(self.case, "error", message=str(err[1]))

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            ET.SubElement(self.case, "failure", message=str(err[1]))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        ET.SubElement(self.case, "skipped", message="python\n" + reason)


def load(path):
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main(path):
    suite = unittest.defaultTestLoader.loadTestsFromModule(load(path))
    result = unittest.TextTestRunner(resultclass=Recorder, verbosity=2,
                                     stream=sys.stdout).run(suite)
    if os.environ.get("XML_OUTPUT_FILE"):
        root = ET.Element("testsuites")
        root.append(result.suite)
        ET.ElementTree(root).write(os.environ["XML_OUTPUT_FILE"])
    return 0 if result.wasSuccessful() and result.testsRun else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
