"""Tests in C++ and Python, and fuzz targets."""

_TSAN = select({
    "//build_defs:san_tsan": ["//third_party/sanitizers:tsan"],
    "//conditions:default": [],
})

def gtest(name, srcs, deps = [], size = "small", **kwargs):
    """A cc_test with gtest_main and what the sanitizers need."""
    native.cc_test(
        name = name,
        srcs = srcs,
        size = size,
        deps = deps + ["@googletest//:gtest_main"] + _TSAN,
        **kwargs
    )

def py_unittest(name, src, srcs = [], data = [], size = "small", **kwargs):
    """A unittest module, src, run by Debian's python3; srcs are what it
    imports. (py_test wants a program named python.)"""
    native.sh_test(
        name = name,
        srcs = ["//build_defs:run_unittest.sh"],
        args = ["$(location %s)" % src],
        data = data + srcs + [src, "//build_defs:run_unittest.py"],
        size = size,
        **kwargs
    )

def fuzz_target(name, srcs, deps = [], size = "small", **kwargs):
    """NAME, a libFuzzer binary, and NAME_corpus_test.

    The sources define LLVMFuzzerTestOneInput. The first target is built with
    --config=fuzz only, by `./dev fuzz`. The second is an ordinary test for
    any compiler, which runs the function over each file of corpus/NAME, each
    of its truncations and each of its single flipped bytes
    (tests/fuzz/replay_main.cc). `corpus/NAME` must hold a file at least.
    """
    native.cc_binary(
        name = name,
        testonly = 1,
        srcs = srcs,
        copts = ["-fsanitize=fuzzer"],
        linkopts = ["-fsanitize=fuzzer"],
        tags = ["fuzz", "manual"],
        deps = deps,
    )
    corpus = native.glob(["corpus/%s/**" % name])
    if not corpus:
        fail("fuzz_target %s: corpus/%s is empty" % (name, name))
    native.cc_test(
        name = name + "_corpus_test",
        srcs = srcs,
        args = ["$(rootpaths :%s_corpus)" % name],
        data = [":%s_corpus" % name],
        size = size,
        deps = deps + ["//tests/fuzz:replay_main"] + _TSAN,
        **kwargs
    )
    native.filegroup(
        name = name + "_corpus",
        srcs = corpus,
        testonly = 1,
    )
