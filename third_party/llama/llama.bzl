"""libllama from a prefix made by third_party/llama/fetch.sh, or, where there is none, a target that makes its users skip."""

VERSION = "0.3.36"

def _prefix(ctx):
    if "LLAMA_PREFIX" in ctx.os.environ:
        return ctx.os.environ["LLAMA_PREFIX"]  # set but empty: without llama
    cache = ctx.os.environ.get("XDG_CACHE_HOME") or ctx.os.environ.get("HOME", "") + "/.cache"
    return cache + "/llama-cpp/" + VERSION

def _llama_library_impl(ctx):
    prefix = _prefix(ctx)
    stamp = prefix + "/VERSION"
    if not prefix or not ctx.path(stamp).exists:
        # Everything that depends on it is skipped, by name: bazel test //... still passes.
        ctx.file("BUILD.bazel", """
package(default_visibility = ["//visibility:public"])

# Debian's Bazel 4.2.3 has no @platforms//:incompatible: a constraint that no platform has does the same.
constraint_setting(name = "libllama")
constraint_value(name = "libllama_here", constraint_setting = ":libllama")
cc_library(name = "llama", target_compatible_with = [":libllama_here"])
""")
        return
    ctx.symlink(prefix + "/include", "include")
    ctx.symlink(prefix + "/lib", "lib")
    version = ctx.read(stamp).strip()
    if version != VERSION:
        fail("\n\n  %s holds llama-cpp-python %s, %s is wanted: run third_party/llama/fetch.sh\n" % (prefix, version, VERSION))
    ctx.file("BUILD.bazel", """
package(default_visibility = ["//visibility:public"])

# A chain, since each archive needs the next one after it on the command line. (cc_import of 4.2.3 has no deps.)
cc_library(name = "llama", srcs = ["lib/libllama.a"], hdrs = glob(["include/*.h"]), includes = ["include"], deps = [":ggml"])
cc_library(name = "ggml", srcs = ["lib/libggml.a"], deps = [":ggml_cpu"])
cc_library(name = "ggml_cpu", srcs = ["lib/libggml-cpu.a"], deps = [":ggml_base"])
cc_library(name = "ggml_base", srcs = ["lib/libggml-base.a"], linkopts = ["-lpthread", "-ldl", "-lm"])
""")

# The prefix is looked up again whenever one of these variables changes.
llama_library = repository_rule(
    implementation = _llama_library_impl,
    configure = True,
    environ = ["LLAMA_PREFIX", "XDG_CACHE_HOME", "HOME"],
    local = True,
)
