"""`python -m bridgetower.training`, which is `train.py`."""

from .run import run_program

if __name__ == "__main__":
    run_program()
