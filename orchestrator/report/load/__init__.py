"""What is said of a load test: a table on a terminal, one JSON document, one HTML file that needs nothing else."""

from __future__ import annotations

from enum import StrEnum
from typing import TextIO

from orchestrator.load.result import LoadResult
from orchestrator.report.documents import dumps
from orchestrator.report.load.document import load_document
from orchestrator.report.load.page import load_page
from orchestrator.report.load.table import write_table


class LoadFormat(StrEnum):
    TABLE = "table"
    JSON = "json"
    HTML = "html"


def write_load(result: LoadResult, form: LoadFormat, out: TextIO) -> None:
    """Raises OSError as the output does."""
    match form:
        case LoadFormat.TABLE:
            write_table(result, out)
        case LoadFormat.JSON:
            out.write(dumps(load_document(result), indent=2) + "\n")
        case LoadFormat.HTML:
            out.write(load_page(result))
