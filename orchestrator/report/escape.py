"""Foreign text made safe to show: for a terminal, and for a spreadsheet.

Peers' texts were escaped when they became evidence; here they are treated as hostile once more, along with everything
else that somebody else could have named: hosts, secrets, users.
"""

from __future__ import annotations

import re

_FORMULA = re.compile(r"""(^|[,;|\t\r\n])([\s"']*)(?=[=+\-@\uFF0B\uFF0D\uFF1D\uFF20\t\r])""")
"""Where a spreadsheet would begin a formula: at the start of a cell, and after whatever another locale takes for a
separator, past blanks and quotes. The full-width signs count: some spreadsheets fold them."""


def plain(text: str) -> str:
    """One line without control characters, direction marks or unpaired surrogates; each becomes its escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def csv_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe stands before what could begin one."""
    return plain(_FORMULA.sub(r"\1\2'", text))
