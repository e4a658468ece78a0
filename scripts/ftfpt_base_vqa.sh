#!/usr/bin/env bash
# VQAv2, base model, from pre-training. CONFIG=configs/vqav2_vgqa_config.json adds VG-QA to the training data.
#   DATA_ROOT=data/fine-tune CHECKPOINT=BridgeTower_pt_base.ckpt bash scripts/ftfpt_base_vqa.sh
# scripts/launch.sh lists the other environment variables; arguments go to train.py.
. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
from_checkpoint base vqav2_config.json "$@"
