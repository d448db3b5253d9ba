"""`python -P -E -m app`: the same as the `multitrack` command."""

import sys

from app.cli import main

sys.exit(main())
