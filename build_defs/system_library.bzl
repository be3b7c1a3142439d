"""A library of the system, in /usr/include and on the linker's path, as an external repository."""

def _version(ctx):
    """The package's version, put into a define, so that an upgrade rebuilds what uses it."""
    out = ctx.execute(["dpkg-query", "-W", "-f=${Version}", ctx.attr.deb.split(" ")[0]])
    if out.return_code != 0:
        return "unknown"
    return "".join([c if c.isalnum() else "_" for c in out.stdout.strip().elems()])

def _system_library_impl(ctx):
    root = ctx.attr.include_root
    for rel in ctx.attr.headers + ctx.attr.check:
        if not ctx.path(root + "/" + rel).exists:
            fail("\n\n  %s/%s is missing. On Debian: apt-get install %s\n" % (root, rel, ctx.attr.deb))
    for rel in ctx.attr.headers:
        ctx.symlink(root + "/" + rel, "include/" + rel)
    programs = []
    for prog, deb in ctx.attr.programs.items():
        found = ctx.which(prog)
        if not found:
            fail("\n\n  The program %s is missing. On Debian: apt-get install %s\n" % (prog, deb))
        ctx.symlink(found, "bin/" + prog)
        programs.append("bin/" + prog)
    linkopts = ctx.attr.linkopts
    if ctx.attr.pkg_config:
        out = ctx.execute(["pkg-config", "--libs"] + ctx.attr.pkg_config)
        if out.return_code != 0:
            fail("\n\n  pkg-config: %s\n  On Debian: apt-get install pkg-config %s\n" % (out.stderr, ctx.attr.deb))
        linkopts = linkopts + [o for o in out.stdout.strip().split(" ") if o]
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
        globs = repr(["include/" + h if h.endswith(".h") else "include/" + h + "/**" for h in ctx.attr.headers]),
        includes = 'includes = ["include"],' if ctx.attr.headers else "",
        defines = repr(ctx.attr.defines + ["SYSTEM_%s_DEB=%s" % (ctx.name.upper(), _version(ctx))]),
        linkopts = repr(linkopts),
        extra = ctx.attr.extra,
    ))

system_library = repository_rule(
    implementation = _system_library_impl,
    attrs = {
        "check": attr.string_list(doc = "files that must exist, but are not listed as inputs"),
        "deb": attr.string(mandatory = True, doc = "for the message when it is missing"),
        "defines": attr.string_list(),
        "extra": attr.string(doc = "more of the BUILD file"),
        "headers": attr.string_list(doc = "files and directories below include_root"),
        "include_root": attr.string(default = "/usr/include"),
        "linkopts": attr.string_list(),
        "pkg_config": attr.string_list(),
        "programs": attr.string_dict(),
    },
    configure = True,
    local = True,
)
