"""Of bench/gpu_restore_bench.cc and feed_bench.cc: what they say of a machine
without a device, and their figures on the host executor and the idle device,
against a real daemon."""
import collections
import json
import os
import subprocess
import tempfile
import unittest

PROGRAM = "bench/gpu_bench"
CODECS = ["raw", "exact", "tsc", "vq", "klt"]
FIGURES = ["restore", "restore.stream", "restore.host", "restore.rows",
           "restore.layer0", "restore.cpu_seconds", "save.host", "save.rows",
           "save.cpu_seconds"]
# Of rows to the bytes on the wire, at least and at most. `klt` reaches it only
# with a profile that fits, of keys that are turned back.
RATIOS = {"raw": (0.98, 1), "exact": (1.4, 2), "tsc": (1.7, 2),
          "vq": (5, 8), "klt": (6.2, 8)}


def run(*arguments, **variables):
    return subprocess.run([PROGRAM, *arguments], capture_output=True,
                          text=True, check=False,
                          env=dict(os.environ, **variables))


class GpuRestoreTest(unittest.TestCase):

    def test_says_that_there_is_no_device(self):
        done = run("gpu", CUDA_VISIBLE_DEVICES="")
        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual([line.split()[0] for line in lines],
                         ["gpu." + codec for codec in CODECS])
        for line in lines:
            self.assertIn("skipped: gpu: ", line)

    def measure(self, name):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "figures.json")
            done = run(name, "--host-device", "--quick", "--json", path,
                       "--work", os.path.join(folder, "work"))
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            with open(path, encoding="utf-8") as figures:
                return json.load(figures)

    def test_measures_on_the_host_executor(self):
        rows = self.measure("gpu")
        self.assertEqual(collections.Counter(r["name"] for r in rows),
                         collections.Counter("gpu.%s.%s" % (codec, figure)
                                             for codec in CODECS
                                             for figure in FIGURES))
        for row in rows:
            self.assertGreater(row["value"], 0, row)
            # Nobody takes them for those of a GPU.
            self.assertIsNone(row["target"], row)
            self.assertIn("host executor: no GPU", row["note"])
        by_name = {r["name"]: r for r in rows}
        for codec in CODECS:
            named = "gpu." + codec
            speed = by_name[named + ".restore.rows"]
            least, most = RATIOS[codec]
            ratio = speed["value"] / speed["reference_value"]
            self.assertGreater(ratio, least, codec)
            self.assertLess(ratio, most, codec)
            layer0 = by_name[named + ".restore.layer0"]["value"]
            self.assertLessEqual(layer0, 1, codec)
            # Of `vq` there is no encoder on a device.
            self.assertEqual(by_name[named + ".save.rows"]["reference_value"],
                             0 if codec == "vq" else 100, codec)

    def test_measures_what_feeding_a_device_takes(self):
        rows = self.measure("feed")
        self.assertEqual(sorted(r["name"] for r in rows),
                         sorted("feed." + codec + figure for codec in CODECS
                                for figure in ["", ".stream",
                                               ".cpu_seconds"]))
        for row in rows:
            self.assertGreater(row["value"], 0, row)
        # Decoding `klt` takes most of its restore: here nobody does it.
        by_name = {r["name"]: r for r in rows}
        cpu = by_name["feed.klt.cpu_seconds"]
        self.assertLess(cpu["value"], cpu["reference_value"] / 2)


if __name__ == "__main__":
    unittest.main()
