"""How many samples a device takes at a time: `python -m bridgetower.training.launch CONFIG DEVICES [arguments]`.

The launch scripts ask this, so that one command line fits any number of devices: the total batch stays that of the
experiment, and the devices take turns when there are few of them, or smaller parts when there are many.
"""

from __future__ import annotations

import argparse
import sys

from ..experiment import SettingsError, load_experiment

__all__ = ["device_batch", "main"]


def device_batch(total: int, largest: int, devices: int) -> int:
    """The largest batch of a device that fits an update of `total` samples.

    Args:
        total: samples of an update over all devices.
        largest: what fits into the memory of a device.
        devices: number of devices.

    Returns:
        The largest number up to `largest` of which `devices` times a whole number is `total`.

    Raises:
        SettingsError: when the devices cannot share `total` evenly.
    """
    share, rest = divmod(total, devices)
    if rest or share < 1:
        fitting = max((count for count in range(1, min(devices, total) + 1) if total % count == 0), default=1)
        raise SettingsError(f"{devices} devices cannot share a batch of {total} samples evenly; use {fitting} of them, "
                            f"or --batch_size {max(1, round(total / devices)) * devices}")
    return max(size for size in range(1, min(largest, share) + 1) if share % size == 0)


def main(argv: list[str] | None = None) -> int:
    """Print the batch of a device for a command line of train.py; 2 when there is none."""
    parser = argparse.ArgumentParser(prog="bridgetower.training.launch", description=__doc__, allow_abbrev=False)
    parser.add_argument("config")
    parser.add_argument("devices", type=int)
    parser.add_argument("--batch_size", type=int)
    parser.add_argument("--per_device_train_batch_size", type=int)
    parser.add_argument("--set", nargs="+", action="extend", default=[])
    args, _ = parser.parse_known_args(argv)
    try:
        training = load_experiment(args.config, args.set).training
        largest = args.per_device_train_batch_size or int(training.get("per_device_train_batch_size", 8))
        total = args.batch_size or int(training.get("batch_size", 0))
        if largest < 1 or args.devices < 1 or total < 0:
            raise SettingsError(f"{args.devices} devices, batches of {largest} and {total} samples: none may be "
                                "negative or missing")
        print(device_batch(total, largest, args.devices) if total else largest)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
