"""@local_cuda: the CUDA Toolkit of this machine. Never fails; without CUDA it
only says so."""

_MIN_MAJOR = 13  # the first whose host compilers and C++20 are tried here

def _homes(ctx):
    environ = ctx.os.environ
    homes = [environ[v] for v in ["CUDA_HOME", "CUDA_PATH"] if environ.get(v)]
    homes.append("/usr/local/cuda")
    nvcc = ctx.which("nvcc")
    if nvcc and str(nvcc.realpath).endswith("/bin/nvcc"):
        homes.append(str(nvcc.realpath)[:-len("/bin/nvcc")])
    return homes

def _has(ctx, home, paths):
    return all([ctx.path(home + "/" + path).exists for path in paths])

def _find(ctx):
    for home in _homes(ctx):
        if not _has(ctx, home, ["bin/nvcc", "include/cuda_runtime.h"]):
            continue
        for lib in ["lib64", "lib", "targets/x86_64-linux/lib"]:
            if not _has(ctx, home, [lib + "/libcudart_static.a"]):
                continue
            out = ctx.execute([home + "/bin/nvcc", "--version"])
            if out.return_code != 0 or "release " not in out.stdout:
                continue
            version = out.stdout.split("release ")[1].split(",")[0]
            if int(version.split(".")[0]) >= _MIN_MAJOR:
                return home, lib, version
    return None, None, None

def _cuda_configure_impl(ctx):
    home, lib, version = _find(ctx)
    defs = "CUDA_AVAILABLE = %s\nCUDA_HOME = %s\nCUDA_VERSION = %s\n"
    found = (home != None, repr(home or ""), repr(version or ""))
    ctx.file("defs.bzl", defs % found)
    if not home:
        ctx.file("BUILD.bazel", """
package(default_visibility = ["//visibility:public"])
cc_library(name = "cudart")
""")
        return
    archive = "libcudart_static.a"
    ctx.symlink("%s/%s/%s" % (home, lib, archive), "lib/" + archive)
    ctx.file("BUILD.bazel", """
package(default_visibility = ["//visibility:public"])

cc_import(
    name = "cudart_archive",
    static_library = "lib/libcudart_static.a",
)

# nvcc finds its own headers.
cc_library(
    name = "cudart",
    linkopts = ["-lpthread", "-ldl", "-lrt"],
    deps = [":cudart_archive"],
)
""")

cuda_configure = repository_rule(
    implementation = _cuda_configure_impl,
    configure = True,
    environ = ["CUDA_HOME", "CUDA_PATH", "PATH"],
    local = True,
)
