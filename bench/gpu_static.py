#!/usr/bin/env python3
"""What the compiler made of the GPU kernels, on any machine: registers, local
memory, shared memory and theoretical occupancy, by architecture.

    gpu_static.py SELFTEST [--json FILE]

SELFTEST is the binary gpu_selftest, which holds the kernels and, asked with
--kernels, says what blocks they want. Needs cuobjdump of the CUDA Toolkit: the
program that $CUOBJDUMP names, or the one in the path.
Exit status 1 when a decoding kernel uses local memory (its registers spilled,
or an array is indexed at run time).
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys

# Of one multiprocessor (CUDA C++ Programming Guide, "Technical Specifications
# per Compute Capability"): warps, blocks, registers, shared bytes.
LIMITS = {
    "sm_80": {"warps": 64, "blocks": 32, "registers": 65536,
              "shared": 164 << 10},
    "sm_90": {"warps": 64, "blocks": 32, "registers": 65536,
              "shared": 228 << 10},
}
# What a block takes for the system; and the units in which registers are given
# to warps, and shared memory to blocks.
SYSTEM_SHARED_BYTES = 1024
REGISTER_UNIT = 256
SHARED_UNIT = 128


def round_up(value, unit):
    return (value + unit - 1) // unit * unit


def blocks_on_multiprocessor(arch, threads, registers, shared_bytes):
    """(blocks, what bounds them)."""
    limits = LIMITS[arch]
    warps = (threads + 31) // 32
    warp_registers = round_up(registers * 32, REGISTER_UNIT)
    block_shared = round_up(shared_bytes + SYSTEM_SHARED_BYTES, SHARED_UNIT)
    bounds = {
        "warps": limits["warps"] // warps,
        "blocks": limits["blocks"],
        "registers": limits["registers"] // warp_registers // warps,
        "shared memory": limits["shared"] // block_shared,
    }
    bound = min(bounds, key=bounds.get)
    return bounds[bound], bound


def parse_resource_usage(text):
    """{(arch, function): {REG, STACK, LOCAL}} of cuobjdump's text."""
    usage, arch, function = {}, None, None
    for line in text.splitlines():
        found = re.search(r"arch = (sm_\d+)", line)
        if found:
            arch = found.group(1)
        found = re.match(r"\s*Function (\S+):", line)
        if found:
            function = found.group(1)
        fields = dict(re.findall(r"\b(REG|STACK|LOCAL):(\d+)", line))
        if fields and arch and function:
            usage[arch, function] = {k: int(v) for k, v in fields.items()}
    return usage


def struct_name(name):
    """exact_decode: ExactDecodeKernel."""
    return "".join(w.capitalize() for w in name.split("_")) + "Kernel"


def row_of(kernel, arch, usage):
    """KeyError when the kernel is not there for the architecture."""
    name = struct_name(kernel["name"])
    mangled = "RunKernelINS_%d%sE" % (len(name), name)
    found = [u for (a, f), u in usage.items() if a == arch and mangled in f]
    if not found:
        raise KeyError("%s of %s" % (kernel["name"], arch))
    # All of ours is dynamic; what cuobjdump reports is the system's.
    shared = kernel["shared_bytes"]
    blocks, bound = blocks_on_multiprocessor(
        arch, kernel["threads"], found[0]["REG"], shared)
    warps = blocks * ((kernel["threads"] + 31) // 32)
    return {
        "kernel": kernel["name"], "decodes": kernel["decodes"], "arch": arch,
        "threads": kernel["threads"], "registers": found[0]["REG"],
        "local_bytes": found[0]["STACK"] + found[0].get("LOCAL", 0),
        "shared_bytes": shared, "blocks": blocks, "bound": bound,
        "occupancy": warps / LIMITS[arch]["warps"]}


def rows_of(kernels, usage):
    return [row_of(kernel, arch, usage)
            for kernel in kernels for arch in LIMITS]


def table(rows):
    head = ("kernel", "arch", "threads", "registers", "local", "shared",
            "blocks", "occupancy", "bound by")
    lines = ["%-20s %-6s %7s %9s %6s %7s %6s %9s  %s" % head]
    for row in rows:
        lines.append("%-20s %-6s %7d %9d %6d %7d %6d %7d %%  %s" % (
            row["kernel"], row["arch"], row["threads"], row["registers"],
            row["local_bytes"], row["shared_bytes"], row["blocks"],
            round(100 * row["occupancy"]), row["bound"]))
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("selftest")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    cuobjdump = os.environ.get("CUOBJDUMP") or shutil.which("cuobjdump")
    if not cuobjdump:
        sys.exit("gpu-static: no cuobjdump: set CUOBJDUMP to that of the CUDA "
                 "Toolkit")
    kernels = json.loads(subprocess.check_output(
        [arguments.selftest, "--kernels"]))
    usage = parse_resource_usage(subprocess.check_output(
        [cuobjdump, "--dump-resource-usage", arguments.selftest], text=True))
    if not usage:
        sys.exit("gpu-static: %s holds no kernels: this build has no CUDA" %
                 arguments.selftest)
    rows = rows_of(kernels, usage)
    print(table(rows))
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as out:
            json.dump(rows, out, indent=1)
    spilled = [r for r in rows if r["decodes"] and r["local_bytes"]]
    for row in spilled:
        print("gpu-static: %s on %s uses %d bytes of local memory, 0 wanted" %
              (row["kernel"], row["arch"], row["local_bytes"]))
    return 1 if spilled else 0


if __name__ == "__main__":
    sys.exit(main())
