#!/usr/bin/env bash
# VQAv2, base model, from pre-training; with VG-QA by CONFIG=configs/vqav2_vgqa_config.json.
#   DATA_ROOT=data/fine-tune CHECKPOINT=BridgeTower_pt_base.ckpt bash scripts/ftfpt_base_vqa.sh
# The other environment variables stand in scripts/launch.sh; arguments go to train.py.
. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
from_checkpoint base vqav2_config.json "$@"
