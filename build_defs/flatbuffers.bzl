"""flatbuffer_cc_library: X.fbs gives X_generated.h."""

FLATC_ARGS = " ".join([
    "--cpp",
    "--cpp-std c++17",
    "--scoped-enums",
    "--gen-object-api",
    "--reflect-names",
])

def flatbuffer_cc_library(name, srcs, includes = [], deps = [], **kwargs):
    outs = [s[:-len(".fbs")] + "_generated.h" for s in srcs]
    native.genrule(
        name = name + "_flatc",
        srcs = srcs + includes,
        outs = outs,
        cmd = " ".join(
            ["$(location @flatbuffers//:bin/flatc)", FLATC_ARGS] +
            ["-I . -o $(RULEDIR)"] + ["$(location %s)" % s for s in srcs],
        ),
        tools = ["@flatbuffers//:bin/flatc"],
    )
    native.cc_library(
        name = name,
        hdrs = outs,
        deps = deps + ["@flatbuffers"],
        **kwargs
    )
