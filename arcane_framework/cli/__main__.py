"""`python -m arcane_framework.cli` is the command `arcane`."""

import sys

from arcane_framework.cli import main

sys.exit(main())
