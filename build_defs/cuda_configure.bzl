"""@local_cuda: the CUDA Toolkit of this machine. Never fails; without CUDA it
only says so."""

_MIN_MAJOR = 13  # the first whose host compilers and C++20 are tried here

def _homes(ctx):
    homes = [ctx.os.environ[v] for v in ["CUDA_HOME", "CUDA_PATH"] if ctx.os.environ.get(v)]
    homes.append("/usr/local/cuda")
    nvcc = ctx.which("nvcc")
    if nvcc and str(nvcc.realpath).endswith("/bin/nvcc"):
        homes.append(str(nvcc.realpath)[:-len("/bin/nvcc")])
    return homes

def _find(ctx):
    for home in _homes(ctx):
        if not ctx.path(home + "/bin/nvcc").exists or not ctx.path(home + "/include/cuda_runtime.h").exists:
            continue
        for lib in ["lib64", "lib", "targets/x86_64-linux/lib"]:
            if not ctx.path(home + "/" + lib + "/libcudart_static.a").exists:
                continue
            out = ctx.execute([home + "/bin/nvcc", "--version"])
            if out.return_code == 0 and "release " in out.stdout:
                version = out.stdout.split("release ")[1].split(",")[0]
                if int(version.split(".")[0]) >= _MIN_MAJOR:
                    return home, lib, version
    return None, None, None

def _cuda_configure_impl(ctx):
    home, lib, version = _find(ctx)
    ctx.file("defs.bzl", "CUDA_AVAILABLE = %s\nCUDA_HOME = %s\nCUDA_VERSION = %s\n" %
                         (home != None, repr(home or ""), repr(version or "")))
    if not home:
        ctx.file("BUILD.bazel", """
package(default_visibility = ["//visibility:public"])
cc_library(name = "cudart")
""")
        return
    ctx.symlink("%s/%s/libcudart_static.a" % (home, lib), "lib/libcudart_static.a")
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
