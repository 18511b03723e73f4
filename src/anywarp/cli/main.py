"""The program `anywarp`.

`anywarp run` is quick because nothing but its own module is imported for it; all else is the Typer application.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Runs the command line of this process. Returns its exit status."""
    if sys.argv[1:2] == ["run"]:
        from anywarp.cli import run

        options = run.parse(sys.argv[2:])
        if options is not None:
            return run.start(options)
        # Help, or something wrong: the application says it.
    from anywarp.cli.app import application

    application()
    return 0


if __name__ == "__main__":
    sys.exit(main())
