"""Of the binary gpu_selftest: what it says of its kernels and of a machine
without a device, and its figures on the host executor."""
import json
import os
import subprocess
import tempfile
import unittest

PROGRAM = "bench/gpu_selftest"


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True,
                          text=True, check=False)


class GpuSelftestTest(unittest.TestCase):

    def test_names_its_kernels(self):
        done = run("--kernels")
        self.assertEqual(done.returncode, 0, done.stderr)
        kernels = json.loads(done.stdout)
        self.assertIn("copy_rows", [k["name"] for k in kernels])
        for kernel in kernels:
            self.assertEqual(kernel["threads"] % 32, 0)

    def test_says_that_there_is_no_such_device(self):
        done = run("--device", "1000")
        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
        self.assertIn("no device to test: gpu: ", done.stdout)

    def test_measures_on_the_host_executor(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "figures.json")
            done = run("--host", "--no-conformance", "--seconds", "0.01",
                       "--json", path)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            with open(path, encoding="utf-8") as figures:
                rows = json.load(figures)["rows"]
        self.assertIn(("Raw", "decode"),
                      [(r["codec"], r["what"]) for r in rows])
        for row in rows:
            self.assertGreater(row["gb_per_second"], 0)
        sessions = {(r["session_tokens"], r["session_layers"], r["heads"])
                    for r in rows if "session_tokens" in r}
        self.assertEqual(len(sessions), 3 * 2 * 2)
        self.assertIn((131072, 32, 1), sessions)


if __name__ == "__main__":
    unittest.main()
