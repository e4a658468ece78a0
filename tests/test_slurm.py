"""The Slurm script, with programs in place of Slurm's that run the tasks one after the other on this machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FAKES = {
    "scontrol": 'if [ "$1" = show ]; then printf "a1\\na2\\n"; else echo "$@" >> "$CALLS"; fi',
    "srun": 'while [ "$1" != bash ]; do shift; done\n'
            'for SLURM_PROCID in 0 1 2 3; do\n'
            '    export SLURM_PROCID SLURM_LOCALID=$((SLURM_PROCID % 2)); "$@" || status=$?\n'
            'done\nexit "${status:-0}"',
    "python": 'echo "$PADDLE_TRAINER_ID/$PADDLE_TRAINERS_NUM $PADDLE_CURRENT_ENDPOINT gpu $FLAGS_selected_gpus '
              'of $PADDLE_LOCAL_SIZE master $PADDLE_MASTER" "${@:3}"\nexit "$STATUS"',
}  # fmt: skip


@pytest.mark.parametrize("status", [0, 2, 75])
def test_tasks_know_each_other_and_a_preempted_job_queues_again(tmp_path: Path, status: int) -> None:
    for name, text in FAKES.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    calls = tmp_path / "calls"
    done = subprocess.run(
        ["bash", str(ROOT / "scripts/slurm.sbatch"), "--config_name", "a file.json"], capture_output=True, text=True,
        timeout=60, cwd=ROOT, env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHON": str(tmp_path / "python"), "CALLS": str(calls),
            "STATUS": str(status), "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "a[1-2]", "SLURM_NTASKS": "4"})
    assert done.returncode == status, done.stderr
    flags = "master a1:20007 --resume_from_checkpoint auto --config_name a file.json"
    assert done.stdout.splitlines() == [
        f"0/4 a1:20008 gpu 0 of 2 {flags}", f"1/4 a1:20009 gpu 1 of 2 {flags}", f"2/4 a2:20008 gpu 0 of 2 {flags}",
        f"3/4 a2:20009 gpu 1 of 2 {flags}"]
    assert (calls.read_text() if calls.exists() else "") == ("requeue 7\n" if status == 75 else "")
