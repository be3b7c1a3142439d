"""gtest: a cc_test with gtest_main and what the sanitizers need."""

def gtest(name, srcs, deps = [], size = "small", **kwargs):
    native.cc_test(
        name = name,
        srcs = srcs,
        size = size,
        deps = deps + ["@googletest//:gtest_main"] + select({
            "//build_defs:san_tsan": ["//third_party/sanitizers:tsan"],
            "//conditions:default": [],
        }),
        **kwargs
    )
