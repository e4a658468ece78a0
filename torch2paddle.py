"""Convert PyTorch checkpoints of BridgeTower, METER and their towers to Paddle, and back.

The program is `bridgetower.verification.converter`.
"""

from bridgetower.verification.converter import EXAMPLES, TOLERANCE, convert, main, parse_arguments, run

__all__ = ["EXAMPLES", "TOLERANCE", "convert", "main", "parse_arguments"]

if __name__ == "__main__":
    run()
