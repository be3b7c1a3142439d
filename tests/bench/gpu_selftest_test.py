"""Of the binary gpu_selftest: what it says of its kernels and of a machine
without a device, and its figures on the host executor."""
import json
import os
import subprocess
import tempfile
import unittest

PROGRAM = "bench/gpu_selftest"
FAKE = "tests/bench/libfake_nvcomp.so"
CODECS = ("Raw", "Tsc8", "Tsc", "Vq", "VqWorst", "Pq", "KltArchive",
          "KltCoarse", "KltNear", "ExactProfile", "Exact")


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True,
                          text=True, check=False)


def measure(*arguments):
    """(the figures of a run on the host executor, the run)."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "figures.json")
        done = run("--host", "--no-conformance", "--seconds", "0.01",
                   "--json", path, *arguments)
        if done.returncode != 0:
            raise AssertionError(done.stdout + done.stderr)
        with open(path, encoding="utf-8") as figures:
            return json.load(figures), done


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
        figures, done = measure("--nvcomp", FAKE)
        rows = figures["rows"]
        for row in rows:
            self.assertGreater(row["gb_per_second"], 0)
        of_codecs = [r for r in rows if "session_tokens" not in r]
        decoded = {r["codec"] for r in of_codecs if r["what"] == "decode"}
        self.assertEqual(decoded, set(CODECS))
        encoded = {r["codec"] for r in of_codecs if r["what"] == "encode"}
        self.assertLessEqual({"ExactProfile", "Tsc", "KltNear"}, encoded)
        # Held to some multiprocessors, and not.
        self.assertEqual({r["multiprocessors"] for r in of_codecs
                          if r["codec"] == "Exact"}, {0, 1})
        self.assertLessEqual({"on the device", "host to device"},
                             {r["what"] for r in rows if r["codec"] == "copy"})
        sessions = {(r["codec"], r["session_tokens"], r["session_layers"],
                     r["heads"])
                    for r in rows if "session_tokens" in r}
        self.assertEqual(len(sessions), 2 * 3 * 2 * 2)
        self.assertIn(("Exact", 131072, 32, 1), sessions)
        # nvCOMP is there, but needs a GPU.
        why = "the host executor is no GPU"
        self.assertEqual(figures["nvcomp"], {"not_measured": why})
        self.assertIn("nvCOMP: not measured: %s\n" % why, done.stdout)
        self.assertFalse([r for r in rows if r["codec"].startswith("Nvcomp")])

    def test_measures_what_it_is_asked_for(self):
        figures, _ = measure("--codecs", "Raw,Tsc", "--batches", "1,3")
        self.assertEqual({(r["codec"], r["batch"]) for r in figures["rows"]
                          if r["codec"] != "copy"},
                         {("Raw", 1), ("Raw", 3), ("Tsc", 1), ("Tsc", 3)})

    def test_refuses_codecs_that_are_none(self):
        done = run("--host", "--codecs", "Raw,Zip")
        self.assertNotIn(done.returncode, (0, 3))
        self.assertIn("Zip", done.stderr)

    def test_says_why_nvcomp_is_not_measured(self):
        for library, why in (
                ("tests/bench/libno_nvcomp.so",
                 "nvcomp: tests/bench/libno_nvcomp.so: cannot open"),
                ("tests/bench/libold_nvcomp.so",
                 "libold_nvcomp.so is of version 5.1.3, one of 6 is wanted"),
                (FAKE, "it works on device 0: let CUDA_VISIBLE_DEVICES"),
                ("", "no library was named")):
            done = run("--device", "1000", "--nvcomp", library)
            self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
            said = [line for line in done.stdout.splitlines()
                    if line.startswith("nvCOMP: not measured: ")]
            self.assertEqual(len(said), 1, done.stdout)
            self.assertIn(why, said[0])


if __name__ == "__main__":
    unittest.main()
