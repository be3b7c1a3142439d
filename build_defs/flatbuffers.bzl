"""flatbuffer_cc_library: X.fbs gives X_generated.h."""

FLATC_ARGS = "--cpp --cpp-std c++17 --scoped-enums --gen-object-api --reflect-names"

def flatbuffer_cc_library(name, srcs, includes = [], deps = [], **kwargs):
    outs = [s[:-len(".fbs")] + "_generated.h" for s in srcs]
    native.genrule(
        name = name + "_flatc",
        srcs = srcs + includes,
        outs = outs,
        cmd = "$(location @flatbuffers//:bin/flatc) %s -I . -o $(RULEDIR) %s" % (
            FLATC_ARGS,
            " ".join(["$(location %s)" % s for s in srcs]),
        ),
        tools = ["@flatbuffers//:bin/flatc"],
    )
    native.cc_library(
        name = name,
        hdrs = outs,
        deps = deps + ["@flatbuffers"],
        **kwargs
    )
