"""`keymuster reasons`: the reason table, asked by code."""

from __future__ import annotations

from rich.console import Console

from appliance.reasons import REASONS
from orchestrator.cli.errors import BadInput, Exit
from orchestrator.cli.output import written_to
from orchestrator.report.documents import dumps
from orchestrator.report.reference import described, page, reasons_document
from orchestrator.report.tables import CODE, FittedTable, cell, column


def reasons(code: str | None, *, markdown: bool, json: bool) -> Exit:
    """One reason in full, or those whose codes have the text, a line each. Raises BadInput for a text that none has."""
    wanted = (code or "").upper()
    found = [REASONS[wanted]] if wanted in REASONS else [r for r in REASONS.values() if wanted in r.code]
    if not found:
        raise BadInput(f"there is no reason {code}; `keymuster reasons` lists them")
    with written_to(None) as out:
        if markdown:
            out.write(page())
        elif json:
            print(dumps(reasons_document(found)), file=out)
        elif len(found) == 1:
            width = max(len(label) for label, _ in described(found[0]))
            out.writelines(f"{label:{width}}  {text}\n" for label, text in described(found[0]))
        else:
            table = FittedTable("", column("Reason", keep=CODE), column("Owner"), column("Meaning"))
            for reason in found:
                table.add_row(*map(cell, (reason.code, reason.owner.value, reason.meaning)))
            Console(file=out).print(table)
    return Exit.OK
