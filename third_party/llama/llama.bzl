"""@llama: libllama and a small model, as fetch.sh and models.sh left them.

Both lie in a cache outside the repository. Where they are missing, everything
that depends on them is incompatible: skipped by `//...`, and listed by name
at the end of `./dev test`.
"""

# fetch.sh reads these two as well.
VERSION = "0.3.36"
SDIST_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"

_MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"

# Debian's Bazel 4.2.3 has no @platforms//:incompatible: a constraint that no
# platform has does the same.
_HEAD = """
package(default_visibility = ["//visibility:public"])

constraint_setting(name = "never")
constraint_value(name = "fetched", constraint_setting = ":never")
"""

# A chain, since each archive needs the next one after it on the command line.
# (cc_import of 4.2.3 has no deps.)
_LIBRARY = """
cc_library(
    name = "llama",
    srcs = ["lib/libllama.a"],
    hdrs = glob(["include/*.h"]),
    includes = ["include"],
    deps = [":ggml"],
)
cc_library(name = "ggml", srcs = ["lib/libggml.a"], deps = [":ggml_cpu"])
cc_library(
    name = "ggml_cpu",
    srcs = ["lib/libggml-cpu.a"],
    deps = [":ggml_base"],
)
cc_library(
    name = "ggml_base",
    srcs = ["lib/libggml-base.a"],
    linkopts = ["-lpthread", "-ldl", "-lm"],
)
"""

_NO_LIBRARY = """
cc_library(name = "llama", target_compatible_with = [":fetched"])
"""

# For `deps`: the file is then at external/llama/smollm2.gguf in the test's
# working directory. (A filegroup can't be incompatible.)
_MODEL_FILE = """
cc_library(name = "smollm2", data = ["smollm2.gguf"])
"""

_NO_MODEL_FILE = """
cc_library(name = "smollm2", target_compatible_with = [":fetched"])
"""

def _cache(ctx):
    home = ctx.os.environ.get("HOME", "")
    root = ctx.os.environ.get("XDG_CACHE_HOME") or home + "/.cache"
    return root + "/llama-cpp"

def _library(ctx):
    prefix = ctx.os.environ.get("LLAMA_PREFIX", _cache(ctx) + "/" + VERSION)
    stamp = prefix + "/VERSION"
    if not prefix or not ctx.path(stamp).exists:
        return _NO_LIBRARY
    version = ctx.read(stamp).strip()
    if version != VERSION:
        fail("\n\n  %s holds llama-cpp-python %s, %s is wanted: " % (
            prefix,
            version,
            VERSION,
        ) + "run third_party/llama/fetch.sh\n")
    ctx.symlink(prefix + "/include", "include")
    ctx.symlink(prefix + "/lib", "lib")
    return _LIBRARY

def _model(ctx):
    folder = ctx.os.environ.get("LLAMA_MODELS", _cache(ctx) + "/models")
    if not folder or not ctx.path(folder + "/" + _MODEL).exists:
        return _NO_MODEL_FILE
    ctx.symlink(folder + "/" + _MODEL, "smollm2.gguf")
    return _MODEL_FILE

def _llama_library_impl(ctx):
    ctx.file("BUILD.bazel", _HEAD + _library(ctx) + _model(ctx))

# LLAMA_PREFIX or LLAMA_MODELS set but empty: without it. Both are looked up
# again whenever one of these variables changes.
llama_library = repository_rule(
    implementation = _llama_library_impl,
    configure = True,
    environ = ["LLAMA_PREFIX", "LLAMA_MODELS", "XDG_CACHE_HOME", "HOME"],
    local = True,
)
