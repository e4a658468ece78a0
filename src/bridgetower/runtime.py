"""Settings that make Paddle fast on a CPU; to be applied before Paddle is imported.

Measured on a two-core AMD machine with AVX-512 and paddlepaddle 3.3.1 (see docs/benchmarks-log.md): Paddle runs one
thread by default, glibc returns every large buffer to the system, and the bundled MKL of 2019 picks a slow path on
AMD processors. On an Intel machine MKL's idle threads kept others from running. A GPU build of
Paddle keeps its threads and strides, and what the user has set stays.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import math
import os
import platform
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

__all__ = ["cpu_environment", "cpu_threads", "die_with_launcher", "die_with_parent", "exit_together", "import_paddle",
           "interrupted_by_signals", "log_to_console", "paused_collection", "set_cpu_threads", "shorten_paddlenlp_log",
           "tune_cpu"]

logger = logging.getLogger(__name__)

_cpu_threads: int | None = None

#: Set to 0 to leave everything as Paddle has it, for instance to measure the difference.
SWITCH = "BRIDGETOWER_TUNE_CPU"

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGEST_BUFFER = 1 << 30  # bytes; a larger one goes back to the system when it is freed


#: Warnings from Paddle's imports about compiling extensions, which users of this package never do.
_NEEDLESS_WARNINGS = ("No ccache found", "Setuptools is replacing distutils", "pkg_resources is deprecated")


def _level() -> int:
    return logging.INFO if os.environ.get("PADDLE_TRAINER_ID", "0") == "0" else logging.WARNING


def log_to_console() -> None:
    """Show the library's messages; of processes beyond the first of a launch, only warnings."""
    logging.basicConfig(level=_level(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    for message in _NEEDLESS_WARNINGS:
        warnings.filterwarnings("ignore", message)


def shorten_paddlenlp_log() -> None:
    """Let PaddleNLP log as we do, and leave out its debug messages: 200 lines of arguments at the start."""
    from paddlenlp.utils.log import logger as wrapper

    wrapper.logger.handlers.clear()
    wrapper.logger.propagate = True
    wrapper.logger.setLevel(_level())


@contextmanager
def paused_collection() -> Iterator[None]:
    """Pause garbage collection, for instance during large imports.

    Those of Paddle and PaddleNLP make several hundred thousand objects and hardly any garbage; looking for it took a
    quarter of their time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _mkl_path() -> str | None:
    """The code path for MKL to take on an AMD processor: 7 with AVX-512, 5 with AVX2; None elsewhere."""
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    if "AuthenticAMD" not in info:
        return None
    if " avx512f" in info:
        return "7"
    return "5" if " avx2" in info else None


def _keep_buffers() -> bool:
    """Tell glibc to keep freed buffers for reuse; False where it is another C library or the user has set it."""
    if platform.libc_ver()[0] != "glibc" or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # One arena: those of further threads return buffers to the system whatever the thresholds say.
    wanted = {_M_MMAP_THRESHOLD: _LARGEST_BUFFER, _M_TRIM_THRESHOLD: 2 * _LARGEST_BUFFER - 1, _M_ARENA_MAX: 1}
    return all([mallopt(name, value) for name, value in wanted.items()])


def set_cpu_threads(count: int) -> None:
    """Let Paddle compute with so many threads on a CPU."""
    import paddle

    global _cpu_threads
    paddle.base.core.set_num_threads(count)
    _cpu_threads = count


def cpu_threads() -> int:
    """Threads that Paddle computes with on a CPU; it reads OMP_NUM_THREADS itself and cannot be asked."""
    if _cpu_threads is not None:
        return _cpu_threads
    value = os.environ.get("OMP_NUM_THREADS", "")
    return int(value) if value.isdecimal() and int(value) else 1


def _own_share() -> int:
    """Threads for this process: the cores it may use, shared between the processes of one launch."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // max(1, int(os.environ.get("PADDLE_LOCAL_SIZE", "1"))))


def _user_set_threads() -> bool:
    """Whether OMP_NUM_THREADS is the user's: importing Paddle, also in the launcher, sets it to 1 for everyone."""
    value = os.environ.get("OMP_NUM_THREADS")
    by_paddle = value == "1" and ("paddle" in sys.modules or "PADDLE_TRAINER_ID" in os.environ)
    return value is not None and not by_paddle


def cpu_environment() -> dict[str, str]:
    """Environment variables that make Paddle faster on this processor; Paddle's import and MKL's read them."""
    # Strided views make the copies around attention heads slow on a CPU: one sixth of a small training step.
    # MKL's threads would spin for 200 ms after a product, on cores that kernels/threads.py gives other work.
    wanted = {"MKL_DEBUG_CPU_TYPE": _mkl_path(), "FLAGS_use_stride_kernel": "0", "KMP_BLOCKTIME": "1"}
    return {name: value for name, value in wanted.items() if value is not None}


def tune_cpu() -> dict[str, str]:
    """Apply the settings and say once what was done; call it before the first import of Paddle.

    Returns:
        What was set, by name; empty when nothing was.
    """
    if os.environ.get(SWITCH, "1") == "0":
        return {}
    applied: dict[str, str] = {}
    has_own_threads = _user_set_threads()
    if "paddle" not in sys.modules:
        applied |= {name: value for name, value in cpu_environment().items() if name not in os.environ}
        os.environ.update(applied)
    if _keep_buffers():
        applied["malloc"] = "freed buffers are kept"
    with paused_collection():
        import paddle

    if paddle.is_compiled_with_cuda() and "FLAGS_use_stride_kernel" in applied:
        del applied["FLAGS_use_stride_kernel"], os.environ["FLAGS_use_stride_kernel"]
        paddle.set_flags({"FLAGS_use_stride_kernel": True})
    if not paddle.is_compiled_with_cuda() and not has_own_threads:
        set_cpu_threads(_own_share())
        applied["threads"] = str(cpu_threads())
    if applied and os.environ.get("PADDLE_TRAINER_ID", "0") == "0":
        logger.info("CPU settings: %s (%s=0 turns them off)", ", ".join(f"{k} {v}" for k, v in applied.items()), SWITCH)
    return applied


def import_paddle() -> None:
    """Import Paddle and PaddleNLP as a program needs them: fast on a CPU, quiet, and not collected later on."""
    first = "paddlenlp" not in sys.modules
    with paused_collection():
        tune_cpu()
        shorten_paddlenlp_log()
        if first:
            gc.freeze()  # collections while the program runs need not look at the modules again


_ONE_INTERRUPTION = 10  # seconds


@contextmanager
def interrupted_by_signals() -> Iterator[list[int]]:
    """Raise KeyboardInterrupt on SIGINT and SIGTERM, so that what is half written is removed.

    Signals within ten seconds count as one, or the second would interrupt the removing. Enter it after Paddle and
    PaddleNLP are imported, which set handlers of their own.

    Yields:
        The signals received so far: a library may have turned the interruption into another error, or lost it.
    """
    received: list[int] = []
    raised = -math.inf

    def interrupt(number: int, _: object) -> None:
        nonlocal raised
        received.append(number)
        if time.monotonic() > raised + _ONE_INTERRUPTION:
            raised = time.monotonic()
            raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_PR_SET_PDEATHSIG = 1
#: Statuses that all processes of a launch end with: success, and a checkpoint saved on a signal.
_TOGETHER = (0, 75)


def die_with_parent(parent: int | None = None) -> None:
    """End this process when the one that started it ends, however that happens; Linux only.

    Args:
        parent: number of that process, which may be gone already; None where it is not known.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if parent is not None and os.getppid() != parent:
            os._exit(1)


def die_with_launcher() -> None:
    """In a process of `paddle.distributed.launch`, end when the launcher ends; elsewhere, do nothing."""
    if "PADDLE_TRAINER_ID" in os.environ:
        die_with_parent()


def exit_together(status: int) -> NoReturn:
    """End this process with `status`; of several processes, one that succeeded ends when all have.

    Paddle's threads for gloo and for its store still run while the interpreter takes itself down, and once in some
    thirty launches that ended in SIGABRT after all work was done and saved: the launcher then reports a failed job. So
    several processes wait for each other and leave without taking anything down. One that failed waits for nobody: the
    launcher stops the others.
    """
    if status in _TOGETHER and "paddle" in sys.modules:
        import paddle.distributed as dist

        if dist.is_initialized() and dist.get_world_size() > 1:
            dist.barrier()
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    sys.exit(status)
