"""cuda_library: .cu files compiled by nvcc, for cc_library, cc_binary and
cc_test to depend on."""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")
load("@local_cuda//:defs.bzl", "CUDA_AVAILABLE", "CUDA_HOME")

ARCHS = ["80", "90"]  # machine code for these
PTX = "90"  # and PTX, for what comes after

# Device arithmetic is the host's, bit for bit: a product and a sum are fused
# only where the source says so, and denormals stay.
_ARITHMETIC = [
    "-fmad=false",
    "-ftz=false",
    "-prec-div=true",
    "-prec-sqrt=true",
]

_OPTIMISATION = {
    "dbg": ["-g", "-O0"],
    "fastbuild": ["-O1"],
    "opt": ["-O3", "-DNDEBUG"],
}

_MISSING = """

  CUDA was asked for (--config=cuda), but no CUDA Toolkit of version 13 or
  later was found: set CUDA_HOME, or leave --config=cuda out.
"""

def _arguments(ctx, compiler, compilation):
    args = ["-x", "cu", "-c", "-std=c++20", "-ccbin", compiler]
    args += ["-Xcompiler", "-fPIC,-Wall"]
    if "clang" in compiler:
        # Designators as nvcc hands them on.
        args += ["-Xcompiler", "-Wno-gnu-designator"]
    else:
        args += ["-Xcompiler", "-Wno-maybe-uninitialized"]
    # 2810: it takes an assignment of a nodiscard value for a value ignored.
    args += ["--expt-relaxed-constexpr", "-diag-suppress", "2810"]
    args += ["-lineinfo"] + _ARITHMETIC
    args += _OPTIMISATION[ctx.var["COMPILATION_MODE"]]
    for arch in ARCHS:
        args += ["-gencode", "arch=compute_%s,code=sm_%s" % (arch, arch)]
    args += ["-gencode", "arch=compute_%s,code=compute_%s" % (PTX, PTX)]
    args += ["-D" + d for d in compilation.defines.to_list()]
    args += ["-D" + d for d in compilation.local_defines.to_list()]
    for i in compilation.quote_includes.to_list():
        args += ["-I", i]
    for i in compilation.includes.to_list():
        args += ["-I", i]
    for i in compilation.system_includes.to_list():
        args += ["-isystem", i]
    return args

def _cuda_library_impl(ctx):
    if not CUDA_AVAILABLE:
        fail(_MISSING)
    cc_toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = cc_toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    own = CcInfo(compilation_context = cc_common.create_compilation_context(
        headers = depset(ctx.files.hdrs),
        quote_includes = depset([".", ctx.bin_dir.path]),
    ))
    compilation = cc_common.merge_cc_infos(
        direct_cc_infos = [own],
        cc_infos = [d[CcInfo] for d in ctx.attr.deps],
    ).compilation_context
    args = _arguments(ctx, cc_toolchain.compiler_executable, compilation)
    needed = [compilation.headers, cc_toolchain.all_files]
    objects = []
    for src in ctx.files.srcs:
        name = "_cuda/%s/%s.o" % (ctx.label.name, src.basename)
        obj = ctx.actions.declare_file(name)
        ctx.actions.run(
            executable = CUDA_HOME + "/bin/nvcc",
            arguments = args + [src.path, "-o", obj.path],
            inputs = depset([src], transitive = needed),
            outputs = [obj],
            env = {"PATH": "/usr/bin:/bin"},
            mnemonic = "CudaCompile",
            progress_message = "Compiling CUDA %s" % src.short_path,
        )
        objects.append(obj)
    linking, _ = cc_common.create_linking_context_from_compilation_outputs(
        actions = ctx.actions,
        feature_configuration = features,
        cc_toolchain = cc_toolchain,
        compilation_outputs = cc_common.create_compilation_outputs(
            objects = depset(objects),
            pic_objects = depset(objects),
        ),
        linking_contexts = [
            d[CcInfo].linking_context
            for d in ctx.attr.deps
        ],
        name = ctx.label.name,
        disallow_dynamic_library = True,
    )
    return [
        DefaultInfo(files = depset(objects)),
        CcInfo(compilation_context = compilation, linking_context = linking),
    ]

_cuda_library = rule(
    implementation = _cuda_library_impl,
    attrs = {
        "deps": attr.label_list(providers = [CcInfo]),
        "hdrs": attr.label_list(allow_files = [".h", ".cuh"]),
        "srcs": attr.label_list(allow_files = [".cu"]),
        "_cc_toolchain": attr.label(
            default = "@bazel_tools//tools/cpp:current_cc_toolchain",
        ),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)

def cuda_library(name, deps = [], tags = [], **kwargs):
    """Always 'manual': //... reaches it only through cuda_select."""
    _cuda_library(
        name = name,
        tags = tags + ["manual"],
        deps = deps + ["@local_cuda//:cudart"],
        **kwargs
    )

def cuda_select(gpu, cpu):
    """gpu with --config=cuda, cpu with --config=nocuda, otherwise what this
    machine can build."""
    return select({
        "//build_defs:cuda_on": gpu,
        "//build_defs:cuda_off": cpu,
        "//conditions:default": gpu if CUDA_AVAILABLE else cpu,
    })
