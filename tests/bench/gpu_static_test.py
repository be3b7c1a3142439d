"""Of bench/gpu_static.py: cuobjdump's text, and occupancy by hand."""
import sys
import unittest

sys.path.insert(0, "bench")
import gpu_static  # noqa: E402

TEXT = """
Fatbin elf code:
================
arch = sm_80
code version = [1,8]

Resource usage:
 Common:
  GLOBAL:0
 Function _ZN7reprise9RunKernelINS_14CopyRowsKernelEEEvNS_10KernelArgsE:
  REG:40 STACK:0 SHARED:0 LOCAL:0 CONSTANT[0]:388 TEXTURE:0 SURFACE:0 SAMPLER:0

Fatbin elf code:
================
arch = sm_90
 Function _ZN7reprise9RunKernelINS_14CopyRowsKernelEEEvNS_10KernelArgsE:
  REG:32 STACK:16 SHARED:0 LOCAL:0 CONSTANT[0]:560 TEXTURE:0 SURFACE:0 SAMPLER:0
"""
KERNEL = {"name": "copy_rows", "decodes": True, "threads": 256,
          "shared_bytes": 0}


class GpuStaticTest(unittest.TestCase):

    def test_reads_cuobjdump(self):
        usage = gpu_static.parse_resource_usage(TEXT)
        self.assertEqual(len(usage), 2)
        rows = gpu_static.rows_of([KERNEL], usage)
        self.assertEqual([r["registers"] for r in rows], [40, 32])
        self.assertEqual([r["local_bytes"] for r in rows], [0, 16])

    def test_occupancy_is_bounded_by_registers(self):
        # 40 registers: 1,280 a warp, 51 warps, 6 blocks of 8.
        self.assertEqual(
            gpu_static.blocks_on_multiprocessor("sm_80", 256, 40, 0),
            (6, "registers"))

    def test_occupancy_is_bounded_by_warps(self):
        self.assertEqual(
            gpu_static.blocks_on_multiprocessor("sm_90", 256, 32, 0),
            (8, "warps"))

    def test_occupancy_is_bounded_by_shared_memory(self):
        # 32 KiB and 1 KiB of the system's: 4 in 164 KiB, 6 in 228 KiB.
        self.assertEqual(
            gpu_static.blocks_on_multiprocessor("sm_80", 256, 32, 32 << 10),
            (4, "shared memory"))
        self.assertEqual(
            gpu_static.blocks_on_multiprocessor("sm_90", 256, 32, 32 << 10),
            (6, "shared memory"))

    def test_a_missing_kernel_is_an_error(self):
        kernel = dict(KERNEL, name="exact_decode")
        with self.assertRaises(KeyError):
            gpu_static.rows_of([kernel],
                               gpu_static.parse_resource_usage(TEXT))


if __name__ == "__main__":
    unittest.main()
