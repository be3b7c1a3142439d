"""The files that lint looks at, and C++ with its comments and strings told
apart from its code."""
import os
import re
import subprocess

CPP = (".h", ".cc", ".cu", ".cuh")
HEADERS = (".h", ".cuh")
SOURCE = CPP + (".py", ".sh", ".bzl", ".fbs")
# Without a suffix, but source all the same.
SOURCE_NAMES = ("BUILD", "WORKSPACE", "dev", "run", ".bazelrc")

# One lexical element of C++ that is not plain code. A raw string ends at its
# own delimiter; a quote between digits (1'000) opens nothing.
_ELEMENT = re.compile(
    r'(?P<raw>\b(?:u8|[uUL])?R"(?P<delimiter>[^()\\\s]{0,16})\(.*?'
    r'\)(?P=delimiter)")'
    r'|(?P<line>//(?:[^\n\\]|\\.)*)'
    r'|(?P<block>/\*.*?\*/)'
    r'|(?P<string>"(?:[^"\\\n]|\\.)*")'
    r"|(?P<separator>(?<=[0-9a-fA-F])'(?=[0-9a-fA-F]))"
    r"|(?P<char>'(?:[^'\\\n]|\\.)+')", re.DOTALL)


def _blank(text):
    """As many lines and columns, with nothing on them."""
    return re.sub(r"[^\n]", " ", text)


class File:
    """One text file. `path` is relative to the root, with slashes."""

    def __init__(self, path, text):
        self.path = path
        self.text = text
        self.name = os.path.basename(path)
        self.suffix = os.path.splitext(path)[1]
        self.folder = path.split("/")[0] if "/" in path else ""
        self.is_cpp = self.suffix in CPP
        self.is_header = self.suffix in HEADERS
        self.is_source = self.suffix in SOURCE or self.name in SOURCE_NAMES
        self.lines = text.split("\n")
        self._split = None

    def _elements(self):
        if self._split is None:
            comments, code, at = [], [], 0
            for found in _ELEMENT.finditer(self.text):
                code.append(self.text[at:found.start()])
                at = found.end()
                kind, text = found.lastgroup, found.group()
                if kind == "delimiter":
                    kind = "raw"
                if kind in ("line", "block"):
                    comments.append((self.line_of(found.start()), text))
                    code.append(_blank(text))
                elif kind == "separator":
                    code.append("_")
                else:
                    code.append('"' + _blank(text)[1:-1] + '"')
            code.append(self.text[at:])
            self._split = "".join(code), comments
        return self._split

    @property
    def code(self):
        """C++ with comments, strings and characters blanked, place by place."""
        return self._elements()[0]

    @property
    def comments(self):
        """(line, text) of each comment, with its slashes."""
        return self._elements()[1]

    def line_of(self, position):
        return self.text.count("\n", 0, position) + 1

    def includes(self):
        """(line, name, is_quoted) of each #include, comments left out."""
        pattern = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')
        code = self.code.split("\n")
        for number, line in enumerate(self.lines, 1):
            found = pattern.match(line)
            if found and code[number - 1].strip().startswith("#"):
                yield number, found.group(2), found.group(1) == '"'


class Finding:
    def __init__(self, path, line, message):
        self.path, self.line, self.message = path, line, message

    def __str__(self):
        return "%s:%d: %s" % (self.path, self.line, self.message)


def _git_paths(root):
    """Tracked files and new ones that are not ignored, or None."""
    git = ["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z",
           "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(git, capture_output=True, check=False)
    except OSError:
        return None
    if done.returncode:
        return None
    return [p for p in done.stdout.decode().split("\0") if p]


def _walked_paths(root):
    """What git would list, roughly, where there is no git."""
    for folder, folders, names in os.walk(root):
        folders[:] = [d for d in folders
                      if not d.startswith("bazel-")
                      and d not in (".git", "__pycache__")]
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), root)


def read_tree(root):
    """The text files below `root`; one with a zero byte is not text."""
    paths = _git_paths(root)
    if paths is None:
        paths = list(_walked_paths(root))
    files = []
    for path in sorted(set(paths)):
        full = os.path.join(root, path)
        if os.path.islink(full) or not os.path.isfile(full):
            continue
        with open(full, "rb") as f:
            data = f.read()
        if b"\0" in data or "/corpus/" in path or "/golden/" in path:
            continue
        files.append(File(path, data.decode("utf-8", errors="replace")))
    return files
