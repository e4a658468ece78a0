"""Train, evaluate and predict: `python -m paddle.distributed.launch train.py --config_name FILE.json ...`."""

from bridgetower.training.run import main, prepare, run_program

__all__ = ["main", "prepare"]

if __name__ == "__main__":
    run_program()
