"""`python -m bridgetower.verification SOURCE ...` is the converter, like `torch2paddle.py` of a source checkout."""

from .converter import run

run()
