"""The check for someone with a GPU, as a dry run on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SKIPPED = ("bf16_O1", "bf16_O2", "fp16_O1", "fp16_O2", "bf16_recompute")


@pytest.mark.slow
def test_dry_run(warm_python: Path, tmp_path: Path) -> None:
    """What needs no GPU passes, the rest is skipped, and the report says so."""
    done = subprocess.run(["bash", "scripts/gpu_check.sh", str(tmp_path)], cwd=ROOT, capture_output=True, text=True,
                          timeout=900, check=False, env=os.environ | {"PYTHON": str(warm_python)})
    report = (tmp_path / "report.md").read_text()
    assert done.returncode == 0, report
    for name in SKIPPED:
        assert f"| {name} | skipped | needs 1 GPU |" in report
    for name in ("goldens", "trajectory", "float32", "recompute", "two_devices", "speed"):
        assert f"| {name} | passed |" in report
    assert "this was a dry run on the CPU" in report
    assert "| float32 | ours |" in report and "| float32 | PyTorch |" in report


@pytest.mark.slow
def test_a_failure_is_reported(tmp_path: Path) -> None:
    """A check that fails ends with status 1, and the end of its log is in the report."""
    program = """
import sys
from pathlib import Path
import gpu_check
folder = Path(sys.argv[1])
check = gpu_check.Check("broken", (sys.executable, "-c", "import sys; print('no kernel'); sys.exit(3)"))
print(gpu_check.report(folder, 0, {"broken": gpu_check.run(check, folder, 0)}))
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT / "benchmarks", capture_output=True,
                          text=True, timeout=300, check=True)
    assert "| broken | failed | exit status 3" in done.stdout and "no kernel" in done.stdout
