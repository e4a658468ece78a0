"""Runs the PyTorch model beside ours.

`comparison` measures the differences of their outputs; `converter` is the command line of the converter, which converts
and verifies, and so stands above both.
"""

__all__ = ["comparison", "converter"]
