"""The command line: data on stdout, everything else on stderr."""

from orchestrator.cli.app import main

__all__ = ["main"]
