"""Proves of each check of lint that it can fail, and that it leaves alone what
is right. A case is a small tree: {path: text}."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, "tests/lint")
import cpp_checks  # noqa: E402
import lint  # noqa: E402
import source_tree  # noqa: E402
import text_checks  # noqa: E402
import tool_checks  # noqa: E402

SLASH = "/"  # so that this file has no machine's path in it
WORD = "TO" + "DO"


def lines(count, line="int x;"):
    return (line + "\n") * count


def function(count, head="void F() {", close="}"):
    """`count` lines, first and last included."""
    return head + "\n" + lines(count - 2, "  G();") + close + "\n"


def guarded(path, body=""):
    guard = cpp_checks.guard_of(path)
    return "#ifndef %s\n#define %s\n%s#endif  // %s\n" % (guard, guard, body,
                                                          guard)


# check: trees that it must find something in.
BAD = {
    text_checks.file_length: [
        {"base/a.cc": lines(801)},
        {"dev": lines(801, "true")},
        {"tests/base/a_test.cc": lines(1001)},
    ],
    text_checks.columns: [
        {"base/a.cc": "int " + "x, " * 30 + "y;\n"},
        {"BUILD": "# " + "word " * 16 + "\n"},
    ],
    text_checks.whitespace: [
        {"a.md": "blank \n"},
        {"base/a.cc": "\tint x;\n"},
        {"a.md": "no newline"},
        {"a.md": "two\n\n"},
        {"a.md": "return\r\n"},
        {"a.md": "\ufffd\n"},
    ],
    text_checks.file_names: [
        {"base/a.cc": "", "codec/a.cc": ""},
        {"base/a.h": "", "codec/a.cc": ""},
        {"base/CamelCase.cc": ""},
        {"base/a-b.h": ""},
    ],
    text_checks.machine_paths: [
        {"a.md": "see " + SLASH + "root/x\n"},
        {"dev": "cd " + SLASH + "home/me\n"},
    ],
    text_checks.registry_hosts: [
        {"a.md": "https:" + "//pypi.example.org\n"},
        {"a.sh": "curl http:" + "//my-mirror.example\n"},
    ],
    text_checks.unfinished: [
        {"base/a.cc": "// " + WORD + ": later\n"},
        {"a.md": WORD + "(me): later\n"},
    ],
    text_checks.listed_in_build: [
        {"base/BUILD": 'srcs = ["a.cc"]\n', "base/a.cc": "", "base/b.cc": ""},
        {"base/a.cc": ""},
        {"base/BUILD": 'glob(["*.h"])\n', "base/a.cc": ""},
    ],
    cpp_checks.function_length: [
        {"base/a.cc": function(71)},
        {"base/a.cc": "namespace a {\nclass B {\n public:\n" +
                      function(71, "  int F() const {") + "};\n}\n"},
        {"base/a.cc": function(71, "Foo::Foo(int a)\n    : a_(a) {")},
        {"base/a.cc": function(71, "template <int N = 3>\nint F() {")},
        {"base/a.cc": function(71, "bool operator==(A a, B b) {")},
        {"base/a.cc": function(71, "TEST(FrameTest, Rejects) {")},
        {"base/a.cc": function(71, 'extern "C" int F(int) {')},
        {"gpu/a.cu": function(71, "__global__ void F(int* p) {")},
        {"base/a.cc": function(71, 'auto F() -> A {  // }\n  R"(})";')},
        {"a.py": "def f():\n" + lines(70, "    g()")},
    ],
    cpp_checks.include_guards: [
        {"base/a.h": guarded("base/b.h")},
        {"base/a.h": "#pragma once\n"},
        {"gpu/a.cuh": ""},
        {"base/a.h": guarded("base/a.h").replace("  // ", " // ")},
    ],
    cpp_checks.third_party_homes: [
        {"store/engine.cc": "#include <rocksdb/db.h>\n"},
        {"client/a.cc": '#include "rocksdb/db.h"\n'},
        {"base/log.cc": "#include <fmt/format.h>\n",
         "base/a.h": "#include <spdlog/spdlog.h>\n"},
        {"api/handler.cc": "#include <boost/asio.hpp>\n"},
        {"client/a.h": '#include "api/protocol_generated.h"\n'},
        {"codec/a.cc": "#include <zstd.h>\n", "codec/b.cc":
         "#include <zstd.h>\n"},
        {"codec/a.cc": "  #  include <hwy/highway.h>\n"},
        {"store/a.cc": '#include "llama.h"\n'},
        {"base/a.cc": "#include <unknown/library.h>\n"},
    ],
    cpp_checks.layers: [
        {"base/a.cc": '#include "codec/frame.h"\n'},
        {"codec/a.cc": '#include "store/engine.h"\n'},
        {"store/a.cc": '#include "codec/codec.h"\n'},
        {"client/a.cc": '#include "store/engine.h"\n'},
        {"client/a.cc": '#include "api/server.h"\n'},
        {"api/a.cc": '#include "client/client.h"\n'},
        {"tools/a.cc": '#include "tests/support/a.h"\n'},
        {"base/a.cc": '#include "bytes.h"\n'},
        {"attic/a.cc": ""},
    ],
    cpp_checks.aborts: [
        {"codec/a.cc": "REPRISE_CHECK(x);\n"},
        {"client/a.cc": "std::abort();\n"},
        {"base/a.cc": "  exit(1);\n"},
        {"store/a.cc": 'throw Error("x");\n'},
    ],
    cpp_checks.dead_code: [
        {"base/a.cc": "// Close(file);\n"},
        {"base/a.cc": "// x = y + 1;\n"},
        {"base/a.cc": "int x;  // int y = 3;\n"},
        {"base/a.cc": "// uint32_t size;\n"},
        {"base/a.cc": "/*\n * return x;\n */\n"},
        {"base/a.cc": "// if (x) {\n"},
        {"base/a.cc": "//#include <vector>\n"},
        {"base/a.cc": "#if 0\n#endif\n"},
    ],
}

# And trees that it must find nothing in.
GOOD = {
    text_checks.file_length: [
        {"base/a.cc": lines(800), "tests/base/a_test.cc": lines(1000)},
        {"docs/a.md": lines(2000)},
    ],
    text_checks.columns: [
        {"base/a.cc": "x" * 80 + "\n"},
        {"base/a.cc": "// " + "x" * 90 + "\n"},
        {"a.md": "word " * 30 + "\n"},
    ],
    text_checks.file_names: [
        {"base/a.cc": "", "base/a.h": "", "tests/base/a_test.cc": ""},
        {"base/BUILD": "", "codec/BUILD": "", "codec/a_simd-inl.h": ""},
    ],
    text_checks.machine_paths: [
        {"a.md": "the work/root folder, ~" + SLASH + "root/x, $HOME" + SLASH +
         "work/\n"},
    ],
    text_checks.registry_hosts: [{"a.md": "https:" + "//example.org\n"}],
    text_checks.unfinished: [{"base/a.cc": "// " + WORD + "(#12): later\n"}],
    text_checks.listed_in_build: [
        {"base/BUILD": 'srcs = ["a.cc", "sub/b.h"]\n', "base/a.cc": "",
         "base/sub/b.h": ""},
        {"base/BUILD": 'glob(["**/*.cc"])\n', "base/a/b.cc": "",
         "base/c.cc": ""},
    ],
    cpp_checks.function_length: [
        {"base/a.cc": function(70)},
        {"base/a.cc": "namespace a {\n" + function(40) + function(40) +
                      "}  // namespace a\n"},
        {"base/a.cc": "const int kTable[] = {\n" + lines(90, "    1,") +
                      "};\n"},
        {"base/a.cc": "class A {\n" + lines(90) + "};\n"},
        {"base/a.cc": "#define M(x) \\\n" + lines(3, "  { \\") + "\n" +
                      function(40) + function(40)},
        {"base/a.cc": "#ifdef A\nvoid F() {\n#else\nvoid G() {\n#endif\n" +
                      lines(30) + "}\n" + function(40)},
        {"base/a.cc": "int F() { return '{' + 1'000 + '\"'; }\n" +
                      function(40) + function(40)},
    ],
    cpp_checks.include_guards: [
        {"base/a.h": "// What it is for.\n" + guarded("base/a.h", "int x;\n")},
    ],
    cpp_checks.third_party_homes: [
        {"store/rocks_engine.cc": "#include <rocksdb/db.h>\n"},
        {"base/a.cc": "#include <vector>\n#include <sys/mman.h>\n"
                      "// #include <rocksdb/db.h>\n"},
        {"codec/a.cc": "#include <zstd.h>\n#include <zdict.h>\n"},
    ],
    cpp_checks.layers: [
        {"store/a.cc": '#include "codec/model_spec.h"\n'
                       '#include "base/status.h"\n'},
        {"client/a.cc": '#include "api/message.h"\n'},
        {"tests/store/a_test.cc": '#include "store/engine.h"\n'
                                  '#include "tests/support/a.h"\n'},
    ],
    cpp_checks.aborts: [
        {"store/a.cc": "REPRISE_CHECK(x);\n"},
        {"codec/a.cc": "// exit(1) throws\nREPRISE_DCHECK(x);\n"},
        {"client/a.cc": "on_exit(x); job.exit();\n"},
    ],
    cpp_checks.dead_code: [
        {"base/a.cc": "// As in:\n//\n//   Close(file);\n"},
        {"base/a.cc": "// The first is kept; the rest goes (see above).\n"},
        {"base/a.cc": "// Returns the size; zero when x = y.\n"},
        {"base/a.cc": '"// Close(file);";\n'},
        {"base/a.cc": "// a list:\n// - first (of two);\n// if it is so\n"},
        {"base/a.cc": "// Effect: the head moves to {commit}\n"},
        {"base/a.cc": "// Default: false;\n// and so on;\n"},
        {"base/a.cc": "// REQUIRES: F(a).ok(); b == G(c);\n// x ascends\n"},
    ],
}


def tree(files):
    return [source_tree.File(path, text) for path, text in files.items()]


class ChecksTest(unittest.TestCase):
    def test_every_check_has_a_failing_case(self):
        self.assertEqual(set(BAD), set(lint.TEXT_CHECKS))

    def test_finds_what_is_wrong(self):
        for check, trees in BAD.items():
            for files in trees:
                with self.subTest(check=check.__name__, files=files):
                    self.assertTrue(list(check(tree(files))))

    def test_leaves_alone_what_is_right(self):
        for check, trees in GOOD.items():
            for files in trees:
                with self.subTest(check=check.__name__, files=files):
                    found = list(map(str, check(tree(files))))
                    self.assertEqual(found, [])

    def test_a_finding_names_its_place(self):
        files = tree({"base/a.cc": "int x;\n\nvoid F();  // G();\n"})
        found = list(map(str, cpp_checks.dead_code(files)))
        self.assertEqual(found, ["base/a.cc:3: commented-out code"])


class ToolChecksTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = folder.name

    def run_check(self, check, files):
        for path, text in files.items():
            full = os.path.join(self.root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as f:
                f.write(text)
        return list(map(str, check(self.root, tree(files))))

    def test_clang_format_finds_and_leaves(self):
        style = {".clang-format": "BasedOnStyle: Google\n"}
        found = self.run_check(tool_checks.clang_format,
                               {**style, "base/a.cc": "int  x ;\n"})
        self.assertEqual(found, ["base/a.cc:1: not formatted: ./dev fmt"])
        found = self.run_check(tool_checks.clang_format,
                               {**style, "base/a.cc": "int x;\n"})
        self.assertEqual(found, [])

    def test_headers_compile_finds_a_missing_include(self):
        body = "inline std::string F() { return {}; }\n"
        found = self.run_check(tool_checks.headers_compile,
                               {"base/a.h": guarded("base/a.h", body)})
        self.assertEqual(len(found), 1)
        self.assertTrue(found[0].startswith("base/a.h:3: does not compile"))

    def test_headers_compile_finds_a_missing_guard(self):
        found = self.run_check(tool_checks.headers_compile,
                               {"base/a.h": "struct A {};\n"})
        self.assertEqual(len(found), 1)

    def test_headers_compile_leaves_what_needs_llama_to_the_build(self):
        found = self.run_check(tool_checks.headers_compile, {
            "tools/a.h": '#include "llama.h"\n',
            "tools/b.h": '#include "tools/a.h"\n',
            "tools/c.h": '#include "tools/b.h"\n'})
        self.assertEqual(found, [])

    def test_headers_compile_leaves_what_is_right(self):
        body = "#include <string>\ninline std::string F() { return {}; }\n"
        found = self.run_check(tool_checks.headers_compile,
                               {"base/a.h": guarded("base/a.h", body)})
        self.assertEqual(found, [])


class SourceTreeTest(unittest.TestCase):
    def test_blanks_comments_and_strings_place_by_place(self):
        text = 'int a = 1\'000; // "x"\nauto s = R"x(")")x"; /* { */ char c;\n'
        file = source_tree.File("a.cc", text)
        self.assertEqual(len(file.code), len(text))
        self.assertEqual(file.code.split("\n")[0].rstrip(), "int a = 1_000;")
        self.assertNotIn("{", file.code)
        self.assertNotIn("x", file.code)
        self.assertTrue(file.code.endswith(" char c;\n"))
        self.assertEqual([line for line, _ in file.comments], [1, 2])

    def test_knows_the_includes_of_a_file(self):
        file = source_tree.File(
            "a.cc", '#include "b/c.h"\n/*\n#include <d>\n*/\n# include <e>\n')
        self.assertEqual(list(file.includes()),
                         [(1, "b/c.h", True), (5, "e", False)])

    def test_reads_a_tree_without_git(self):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, "bazel-out"))
            for path in ("a.md", "bazel-out/b.md"):
                with open(os.path.join(root, path), "w",
                          encoding="utf-8") as f:
                    f.write("text\n")
            files = source_tree.read_tree(root)
            self.assertEqual([f.path for f in files], ["a.md"])
