"""Export a checkpoint as static models; the program is `bridgetower.export`."""

import sys

from bridgetower.export.__main__ import EXAMPLES, main, parse_arguments

__all__ = ["EXAMPLES", "main", "parse_arguments"]

if __name__ == "__main__":
    sys.exit(main())
