"""Checks of C++: function length, guards, includes, layers, dead code."""
import ast
import re

import rules
from source_tree import Finding

FUNCTION_LINES = 70

# What a block's header says it is, when it is no function.
_TYPE = re.compile(
    r"\s*(?:template\s*<.*>\s*)?(?:requires\b.*)?(?:typedef\s+)?"
    r"(?:inline\s+)?(?:class|struct|union|enum|namespace)\b", re.DOTALL)
_EXTERN = re.compile(r'\s*extern\s*"\s*"\s*$')
_LABEL = re.compile(r"\s*(?:(?:public|private|protected)\s*:)+")
_OPERATOR = re.compile(r"\boperator\s*(?:\(\)|[^\s\w(]+)")
_TEMPLATE = re.compile(r"\s*template\s*<")


def _without_directives(code):
    """Blanks preprocessor lines, and all but the first branch of an #if, so
    that braces match."""
    out, depth_skipped, continued = [], 0, False
    nesting = []  # for each open #if: are we in its first branch?
    for line in code.split("\n"):
        stripped = line.strip()
        directive = continued or stripped.startswith("#")
        if directive and not continued:
            word = stripped[1:].strip().split(" ")[0].split("(")[0]
            if word in ("if", "ifdef", "ifndef"):
                nesting.append(True)
            elif word in ("else", "elif") and nesting:
                nesting[-1] = False
            elif word == "endif" and nesting:
                nesting.pop()
        continued = directive and stripped.endswith("\\")
        out.append("" if directive or not all(nesting) else line)
    return "\n".join(out)


def _strip_template(header):
    """Without a leading template<...>, whose defaults hold '='."""
    found = _TEMPLATE.match(header)
    if not found:
        return header
    depth = 1
    for i in range(found.end(), len(header)):
        depth += {"<": 1, ">": -1}.get(header[i], 0)
        if depth == 0:
            return _strip_template(header[i + 1:])
    return header


def _kind(header):
    """'open' for what functions may stand in, 'function', or 'value'."""
    header = _LABEL.sub("", header, count=1)
    if _TYPE.match(header) or _EXTERN.match(header) or not header.strip():
        return "open"
    header = _OPERATOR.sub("operator_", _strip_template(header))
    before, parenthesis, _ = header.partition("(")
    if "=" in before.replace("==", ""):
        return "value"
    return "function" if parenthesis else "value"


def functions(code):
    """(first line, last line) of each function body's statement, outermost
    ones only: a lambda counts with the function that it stands in."""
    code = _without_directives(code)
    stack, found = [], []  # of (kind, line where the header starts)
    start, parentheses, line = 0, 0, 1
    first_line = None  # of the statement that is being read
    for i, c in enumerate(code):
        if c == "\n":
            line += 1
            continue
        if not c.isspace() and first_line is None:
            first_line = line
        inside = any(kind != "open" for kind, _ in stack)
        if c == "(":
            parentheses += 1
        elif c == ")":
            parentheses = max(0, parentheses - 1)
        elif c == "{":
            kind = "value" if parentheses or inside else _kind(code[start:i])
            stack.append((kind, first_line))
        elif c == "}" and stack:
            kind, opened = stack.pop()
            if kind == "function":
                found.append((opened, line))
        if c in "{}" and not parentheses or c == ";" and not parentheses:
            start, first_line = i + 1, None
    return found


def function_length(files):
    """A function is at most 70 lines, signature included."""
    for file in files:
        if file.is_cpp:
            spans = functions(file.code)
        elif file.suffix == ".py":
            spans = _python_functions(file.text)
        else:
            continue
        for first, last in spans:
            if last - first + 1 > FUNCTION_LINES:
                yield Finding(file.path, first,
                              "function has %d lines, the wall is %d" %
                              (last - first + 1, FUNCTION_LINES))


def _python_functions(text):
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        return [(error.lineno or 1, 10**6)]
    return [(node.lineno, node.end_lineno) for node in ast.walk(tree)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def guard_of(path):
    return "REPRISE_" + re.sub(r"\W", "_", path).upper() + "_"


def include_guards(files):
    """A header's guard is its path: REPRISE_FOLDER_FILE_H_."""
    for file in files:
        # Highway includes an -inl.h once for each target.
        if not file.is_header or file.name.endswith("-inl.h"):
            continue
        guard = guard_of(file.path)
        directives = [l.split() for l in file.code.split("\n")
                      if l.strip().startswith("#")]
        wanted = [["#ifndef", guard], ["#define", guard]]
        if directives[:2] != wanted or directives[-1:] != [["#endif"]]:
            yield Finding(file.path, 1, "include guard is not " + guard)
        elif file.text.rstrip().split("\n")[-1] != "#endif  // " + guard:
            yield Finding(file.path, len(file.lines) - 1,
                          "the last line is not '#endif  // %s'" % guard)


def third_party_homes(files):
    """A third-party header is included only where rules.py says it lives."""
    for file in files:
        if not file.is_cpp:
            continue
        for line, name, quoted in file.includes():
            home = next((h for h in rules.HOMES if h.headers.match(name)),
                        None)
            if home and not home.files.match(file.path):
                yield Finding(file.path, line, "%s (%s) belongs to %s" %
                              (home.library, name, home.where))
            elif not home and not quoted and not rules.SYSTEM.match(name):
                yield Finding(file.path, line, "<%s> has no home: see "
                              "tests/lint/rules.py" % name)
    yield from _single_files(files)


def _single_files(files):
    for headers, where in rules.ONE_FILE:
        first = None
        for file in files:
            if not file.is_cpp or not where.match(file.path):
                continue
            for line, name, _ in file.includes():
                if headers.match(name):
                    if first and first != file.path:
                        yield Finding(file.path, line, "%s is included by %s"
                                      " already" % (name, first))
                    first = first or file.path


def layers(files):
    """A folder includes only what lies below it."""
    for file in files:
        if not file.is_cpp:
            continue
        if file.folder not in rules.LAYERS:
            yield Finding(file.path, 1, "folder '%s' has no layer: see "
                          "tests/lint/rules.py" % file.folder)
            continue
        may, never = rules.LAYERS[file.folder]
        for line, name, quoted in file.includes():
            if not quoted or any(h.headers.match(name) for h in rules.HOMES
                                 if "_generated" not in name):
                continue
            if "/" not in name:
                yield Finding(file.path, line,
                              '"%s": include by the path from the root' % name)
                continue
            own = name.startswith(file.folder + "/")
            allowed = own or may and may.match(name)
            if not allowed or never and never.match(name):
                yield Finding(file.path, line,
                              "%s/ may not include %s" % (file.folder, name))


def aborts(files):
    """No abort in code that runs inside somebody's process, no throw in
    ours."""
    abort = re.compile(
        r"\bREPRISE_CHECK\s*\(|(?<![\w.>])(std::|::)?"
        r"(abort|terminate|exit|_exit|quick_exit)\s*\(")
    throw = re.compile(r"\bthrow\b")
    for file in files:
        if not file.is_cpp:
            continue
        for number, line in enumerate(file.code.split("\n"), 1):
            if (rules.NO_ABORT.match(file.path) and abort.search(line) and
                    file.path not in rules.MAY_ABORT):
                yield Finding(file.path, number, "aborts: answer a Status")
            if rules.NO_THROW.match(file.path) and throw.search(line):
                yield Finding(file.path, number, "throws: answer a Status")


# A comment line that reads as a statement. Examples in prose are indented by
# three blanks and are left alone.
_DEAD = [re.compile(p) for p in (
    r"#\s*(include|define|if|ifdef|ifndef|else|endif)\b",
    r"(if|for|while|switch|else|do|try)\b.*\{$",
    r"\}( else.*| while.*)?;?$",
    r"return\b[^.]*;$",
    r"(break|continue);$",
    r"[\w:]+(\.|->|::)?[\w:]*\([^;]*\);$",
    r"[\w:.\[\]>-]+ (=|\+=|-=|\|=) [^.;]*;$",
    r"(const |static |constexpr |auto )*[\w:<>,*&]*[\w>*&][ *&]+\w+"
    r"( = [^;]*|\([^;]*\));$",
    r"(const |static )*(int|bool|char|float|double|size_t|u?int\d+_t|std::\S+)"
    r"[ *&]+\w+;$",
)]


def dead_code(files):
    """No code in comments, none in #if 0."""
    for file in files:
        if not file.is_cpp:
            continue
        for line, text in file.comments:
            for offset, words in enumerate(_comment_lines(text)):
                if any(p.match(words) for p in _DEAD):
                    yield Finding(file.path, line + offset,
                                  "commented-out code")
        for number, line in enumerate(file.code.split("\n"), 1):
            if re.match(r"\s*#\s*if\s+(0|false)\b", line):
                yield Finding(file.path, number, "code in #if 0")


def _comment_lines(text):
    """Each line's words; empty for one that is indented as an example."""
    for line in text.split("\n"):
        words = re.sub(r"^\s*(//+|/\*+|\*+(?!/))", "", line)
        words = re.sub(r"\s*\*/$", "", words)
        yield "" if words.startswith("  ") else words.strip()
