"""A library of the system as an external repository: its headers lie in
/usr/include, the linker finds it by itself."""

def _version(ctx):
    """The package's version. It goes into a define, so that an upgrade
    rebuilds what uses the library."""
    package = ctx.attr.deb.split(" ")[0]
    out = ctx.execute(["dpkg-query", "-W", "-f=${Version}", package])
    if out.return_code != 0:
        return "unknown"
    version = out.stdout.strip()
    return "".join([c if c.isalnum() else "_" for c in version.elems()])

def _missing(ctx, what):
    fail("\n\n  %s is missing: ./dev setup, or apt-get install %s\n" % (
        what,
        ctx.attr.deb,
    ))

def _glob_of(header):
    return "include/" + header + ("" if header.endswith(".h") else "/**")

def _system_library_impl(ctx):
    root = ctx.attr.include_root
    for rel in ctx.attr.headers + ctx.attr.check:
        if not ctx.path(root + "/" + rel).exists:
            _missing(ctx, root + "/" + rel)
    for rel in ctx.attr.headers:
        ctx.symlink(root + "/" + rel, "include/" + rel)
    programs = []
    for program in ctx.attr.programs:
        found = ctx.which(program)
        if not found:
            _missing(ctx, "the program " + program)
        ctx.symlink(found, "bin/" + program)
        programs.append("bin/" + program)
    ctx.file("BUILD.bazel", """
package(default_visibility = ["//visibility:public"])

exports_files({programs})

cc_library(
    name = "{name}",
    hdrs = glob({globs}),
    defines = {defines},
    {includes}
    linkopts = {linkopts},
)
{extra}
""".format(
        name = ctx.name,
        programs = repr(programs),
        globs = repr([_glob_of(header) for header in ctx.attr.headers]),
        includes = 'includes = ["include"],' if ctx.attr.headers else "",
        defines = repr(ctx.attr.defines + ["SYSTEM_%s_DEB=%s" % (
            ctx.name.upper(),
            _version(ctx),
        )]),
        linkopts = repr(ctx.attr.linkopts),
        extra = ctx.attr.extra,
    ))

system_library = repository_rule(
    implementation = _system_library_impl,
    attrs = {
        "check": attr.string_list(doc = "must exist, but are no inputs"),
        "deb": attr.string(mandatory = True, doc = "packages, for messages"),
        "defines": attr.string_list(),
        "extra": attr.string(doc = "more of the BUILD file"),
        "headers": attr.string_list(doc = "files and folders"),
        "include_root": attr.string(default = "/usr/include"),
        "linkopts": attr.string_list(),
        "programs": attr.string_list(),
    },
    configure = True,
    local = True,
)
