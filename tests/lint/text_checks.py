"""Checks of any text: size, columns, names, and words that may not stand."""
import collections
import os
import re

from source_tree import Finding

FILE_LINES = 800
TEST_FILE_LINES = 1000
COLUMNS = 80

# Patterns that would find themselves are put together from pieces.
_PATHS = re.compile(r"(?<![\w.~}])/(" + "work|root|home|farm" + r")/")
_HOSTS = re.compile(
    r"https?://[\w.-]*(proxy|mirror|artifact|registry|nexus|" +
    r"pypi\.|deb\.debian|files\.python" + "hosted)")
_UNFINISHED = re.compile(r"\b(" + "TO" + "DO|FIX" + "ME|X" + r"XX)\b(.*)")
_ISSUE = re.compile(r"\(#\d+\)")


def file_length(files):
    """A file is at most 800 lines, a test 1,000."""
    for file in files:
        if not file.is_source:
            continue
        limit = TEST_FILE_LINES if file.folder == "tests" else FILE_LINES
        count = len(file.text.splitlines())
        if count > limit:
            yield Finding(file.path, count,
                          "file has %d lines, the wall is %d" %
                          (count, limit))


def columns(files):
    """A line is at most 80 columns, but for a word that can't be broken."""
    for file in files:
        if not file.is_source:
            continue
        for number, line in enumerate(file.lines, 1):
            if len(line) <= COLUMNS:
                continue
            if max(map(len, line.split())) > COLUMNS - 20:
                continue
            yield Finding(file.path, number, "line has %d columns, the wall "
                          "is %d" % (len(line), COLUMNS))


def whitespace(files):
    """UTF-8 without tabs, blanks at line ends or carriage returns; one
    newline at the end."""
    for file in files:
        for number, line in enumerate(file.lines, 1):
            if "\ufffd" in line:
                yield Finding(file.path, number, "not UTF-8")
            if line != line.rstrip():
                yield Finding(file.path, number, "blanks at the line's end")
            if "\t" in line and file.is_source:
                yield Finding(file.path, number, "a tab")
        if file.text and not file.text.endswith("\n"):
            yield Finding(file.path, len(file.lines), "no newline at the end")
        elif file.text.endswith("\n\n"):
            yield Finding(file.path, len(file.lines), "empty lines at the end")


def file_names(files):
    """C++ files are snake_case, and no two have the same name; a pair of
    header and source lies in one folder."""
    folders = collections.defaultdict(set)
    by_name = collections.defaultdict(list)
    for file in files:
        if not file.is_cpp:
            continue
        if not re.fullmatch(r"[a-z0-9_]+(-inl)?\.\w+", file.name):
            yield Finding(file.path, 1, "file name is not snake_case")
        by_name[file.name].append(file.path)
        stem = os.path.splitext(file.name)[0]
        folders[stem].add(os.path.dirname(file.path))
    for name, paths in sorted(by_name.items()):
        for path in paths[1:]:
            yield Finding(path, 1, "file name is taken by " + paths[0])
    for stem, where in sorted(folders.items()):
        if len(where) > 1 and max(
                len(by_name[stem + s]) for s in (".h", ".cc")) == 1:
            yield Finding(sorted(where)[1] + "/" + stem, 1,
                          "name is taken in " + sorted(where)[0])


def _search(files, pattern, message):
    for file in files:
        for number, line in enumerate(file.lines, 1):
            if pattern.search(line):
                yield Finding(file.path, number, message)


def machine_paths(files):
    """No absolute path of one machine."""
    return _search(files, _PATHS, "absolute path of a machine")


def registry_hosts(files):
    """No package registry by host: the machine's own settings decide."""
    return _search(files, _HOSTS, "a package registry's host")


def unfinished(files):
    """What is left to do names an issue: (#12)."""
    for file in files:
        for number, line in enumerate(file.lines, 1):
            found = _UNFINISHED.search(line)
            if found and not _ISSUE.match(found.group(2)):
                yield Finding(file.path, number,
                              "%s without an issue" % found.group(1))


def listed_in_build(files):
    """Every C++ file is named by the BUILD file of its package; one that is
    not would never be compiled, a test never run."""
    builds = {os.path.dirname(f.path): f for f in files if f.name == "BUILD"}
    for file in files:
        if not file.is_cpp:
            continue
        folder = os.path.dirname(file.path)
        while folder not in builds and folder:
            folder = os.path.dirname(folder)
        inside = os.path.relpath(file.path, folder or ".")
        text = builds[folder].text if folder in builds else ""
        if not _names(text, inside):
            yield Finding(file.path, 1, "no BUILD file names it")


def _names(build, inside):
    stem = os.path.splitext(inside)[0]
    if '"%s"' % inside in build or '"%s"' % stem in build:
        return True
    for pattern in re.findall(r'"([^"]*\*[^"]*)"', build):
        parts = re.escape(pattern).replace(r"\*\*/", "(.*/)?")
        parts = parts.replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
        if re.fullmatch(parts, inside):
            return True
    return False
