# SPDX-License-Identifier: MIT
"""The files of the source tree, for the lints."""
import os
import re

ROOT = os.path.abspath(os.environ.get("JOBD_SRCDIR") or os.path.join(os.path.dirname(__file__), "..", ".."))
SKIPPED = re.compile(r"^(\.git|build.*|autom4te\.cache|__pycache__|\.libs|\.deps|jobd-[0-9].*)$")


def files(*folders, suffix=("",)):
    """Paths below the root, of these folders (all when none is named), that end with one of the suffixes."""
    found = []
    for folder in folders or ("",):
        for here, subfolders, names in os.walk(os.path.join(ROOT, folder)):
            subfolders[:] = [s for s in subfolders if not SKIPPED.match(s)]
            found += [os.path.relpath(os.path.join(here, n), ROOT) for n in names if n.endswith(tuple(suffix))]
    return sorted(found)


def text(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def code(path):
    """C text with its comments blanked out, line numbers kept; string literals stay."""
    def blank(m):
        return m.group(0) if m.group(0)[0] in "\"'" else re.sub(r"[^\n]", " ", m.group(0))
    return re.sub(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', blank, text(path), flags=re.S)


def lines(body, pattern):
    """(number, line) of each line in which the pattern is found."""
    return [(n, line) for n, line in enumerate(body.split("\n"), 1) if re.search(pattern, line)]
