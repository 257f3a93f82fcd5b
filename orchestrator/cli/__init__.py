"""The command line: data on stdout, everything else on stderr."""

import sys

from orchestrator.cli.errors import Exit


def main() -> None:
    """The commands. Ctrl-C while what they are made of is loaded ends as it does later: a story hears it by itself."""
    try:
        from orchestrator.cli.app import main as commands  # noqa: PLC0415 - loaded where its interruption is heard

        commands()
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)


__all__ = ["main"]
