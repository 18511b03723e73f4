"""`python -m anywarp`: the command line."""

from __future__ import annotations

import sys

from anywarp.cli.main import main

sys.exit(main())
