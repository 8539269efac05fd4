"""Prints the table of answers: `python -m tests.answers`."""

import sys

from . import rows, table

if __name__ == "__main__":
    found = rows()
    print(table(found))
    sys.exit(any(row.faults for row in found))
