"""Export a checkpoint as static models; the program is `bridgetower.export`."""

import sys

from bridgetower.export.__main__ import EXAMPLES, clean_up_on_signals, main, parse_arguments

__all__ = ["EXAMPLES", "clean_up_on_signals", "main", "parse_arguments"]

if __name__ == "__main__":
    sys.exit(main())
