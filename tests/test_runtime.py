"""CPU settings: only where they help, never over the user's own, said once."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import paddle
import pytest

from bridgetower import runtime
from tests.two_ranks import launch, rank_logs

AMD = "vendor_id : AuthenticAMD\nflags : fpu avx2 avx512f\n"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An AMD machine with AVX-512, glibc and four cores; Paddle is not imported yet; nothing is really changed."""
    facts: dict[str, Any] = {"cpuinfo": AMD, "libc": "glibc", "threads": None, "mallopt": []}
    monkeypatch.setattr(os, "environ", {"HOME": "home"})
    real = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda self, *a, **k: facts["cpuinfo"] if str(self) == "/proc/cpuinfo"
                        else real(self, *a, **k))
    monkeypatch.setattr(runtime.platform, "libc_ver", lambda: (facts["libc"], "2.36"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    monkeypatch.setattr(runtime.ctypes, "CDLL", lambda _: type("C", (), {
        "mallopt": staticmethod(lambda name, value: facts["mallopt"].append((name, value)) or 1)}))
    monkeypatch.setattr(paddle.base.core, "set_num_threads", lambda count: facts.update(threads=count))
    monkeypatch.setattr(paddle, "is_compiled_with_cuda", lambda: False)
    monkeypatch.setattr(paddle, "set_flags", lambda flags: None)
    # As before the first import of Paddle; the import inside the function then finds this one again.
    monkeypatch.setattr(runtime, "sys", type("Sys", (), {"modules": {}}))
    return facts


def test_everything_is_set(machine: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        applied = runtime.tune_cpu()
    assert applied["MKL_DEBUG_CPU_TYPE"] == os.environ["MKL_DEBUG_CPU_TYPE"] == "7"
    assert applied["threads"] == "4" and machine["threads"] == 4
    assert len(machine["mallopt"]) == 3 and "malloc" in applied
    assert len(caplog.records) == 1 and "BRIDGETOWER_TUNE_CPU=0 turns them off" in caplog.text


@pytest.mark.parametrize("cpuinfo, expected", [
    (AMD, "7"), (AMD.replace(" avx512f", ""), "5"), ("vendor_id : AuthenticAMD\nflags : sse\n", None),
    (AMD.replace("AuthenticAMD", "GenuineIntel"), None)])
def test_mkl_path(machine: dict[str, Any], cpuinfo: str, expected: str | None) -> None:
    machine["cpuinfo"] = cpuinfo
    assert runtime.tune_cpu().get("MKL_DEBUG_CPU_TYPE") == expected == os.environ.get("MKL_DEBUG_CPU_TYPE")


def test_another_c_library_is_left_alone(machine: dict[str, Any]) -> None:
    machine["libc"] = ""
    assert "malloc" not in runtime.tune_cpu() and machine["mallopt"] == []


@pytest.mark.parametrize("name, value, kept", [
    ("MKL_DEBUG_CPU_TYPE", "5", "MKL_DEBUG_CPU_TYPE"), ("MALLOC_ARENA_MAX", "2", "malloc"),
    ("OMP_NUM_THREADS", "3", "threads"), ("KMP_BLOCKTIME", "200", "KMP_BLOCKTIME"),
    ("FLAGS_use_stride_kernel", "1", "FLAGS_use_stride_kernel")])
def test_the_users_own_settings_stay(machine: dict[str, Any], name: str, value: str, kept: str) -> None:
    os.environ[name] = value
    assert kept not in runtime.tune_cpu() and os.environ[name] == value


def test_the_switch(machine: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    os.environ["BRIDGETOWER_TUNE_CPU"] = "0"
    before = dict(os.environ)
    with caplog.at_level(logging.INFO):
        assert runtime.tune_cpu() == {}
    assert os.environ == before and machine["threads"] is None and machine["mallopt"] == [] and not caplog.records


def test_processes_share_the_cores_and_one_speaks(machine: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    # The launcher imports Paddle, which sets the variable for its children: that is not the user's wish.
    os.environ.update(PADDLE_LOCAL_SIZE="2", PADDLE_TRAINER_ID="1", OMP_NUM_THREADS="1")
    with caplog.at_level(logging.INFO):
        assert runtime.tune_cpu()["threads"] == "2"
    assert not caplog.records


def test_a_gpu_build_keeps_its_threads(machine: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paddle, "is_compiled_with_cuda", lambda: True)
    assert "threads" not in runtime.tune_cpu() and machine["threads"] is None


@pytest.mark.slow
def test_console_of_a_process() -> None:
    """No needless warnings of Paddle's imports, PaddleNLP in our format and without its debug messages."""
    code = ("from bridgetower.runtime import *; log_to_console(); shorten_paddlenlp_log()\n"
            "from paddlenlp.utils.log import logger\nlogger.debug('details'); logger.info('news')")
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=True,
                          env=environment)
    assert done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert done.stderr.rstrip().endswith("INFO PaddleNLP: news")


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_not_looked_for_meanwhile(enabled: bool) -> None:
    """Whatever happens then, it is looked for afterwards if it was before."""
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with pytest.raises(ImportError), runtime.paused_collection():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()


@pytest.mark.slow
def test_imports_of_a_program_stay_out_of_collections() -> None:
    code = ("import gc\nfrom bridgetower.runtime import import_paddle; import_paddle()\n"
            "print(gc.get_freeze_count() > 100_000, gc.isenabled(), len(gc.get_objects()) < 10_000)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=True)
    assert done.stdout == "True True True\n"


LEAVING = """
import atexit, os, sys, time
import paddle.distributed as dist
from bridgetower.runtime import exit_together

dist.init_parallel_env()
atexit.register(os.abort)  # stands for what goes wrong while an interpreter takes itself down
if dist.get_rank() == 1:
    time.sleep(1)
    open(sys.argv[1], "w").close()
exit_together(int(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("status", [0, 2])
def test_processes_end_together(tmp_path: Path, status: int) -> None:
    """Nothing that fails after the work is done makes a failed job of it; an error stays one."""
    script, late = tmp_path / "script.py", tmp_path / "late"
    script.write_text(LEAVING)
    done = launch(sys.executable, tmp_path / "log", script, late, status)
    assert (done.returncode == 0) == (status == 0), rank_logs(tmp_path / "log")
    assert late.exists() or status


@pytest.mark.parametrize("status", [0, 2])
def test_a_process_alone_just_ends(status: int) -> None:
    with pytest.raises(SystemExit) as end:
        runtime.exit_together(status)
    assert end.value.code == status
