"""`python -m bridgetower.training`, which is `train.py`."""

from .program import run_program

if __name__ == "__main__":
    run_program()
