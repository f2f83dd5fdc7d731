"""tests/cmd/test_import.py with the real opendkim, which is downloaded and
unpacked first."""
import os
import runpy
import sys

SRC = os.environ.get("MAILSEAL_SRCDIR", ".")
BUILD = os.environ.get("MAILSEAL_BUILDDIR", ".")
sys.path.insert(0, os.path.join(SRC, "tests", "lib"))
from opendkim import opendkim_tree  # noqa: E402
from tap import skip_all  # noqa: E402

if __name__ == "__main__":
    tree, why = opendkim_tree(BUILD, fetch=True)
    if tree is None:
        skip_all(why)
    runpy.run_path(os.path.join(SRC, "tests", "cmd", "test_import.py"),
                   run_name="__main__")
