#!/usr/bin/env bash
# VQAv2, large model, from pre-training. CONFIG=configs/vqav2_large_vgqa_config.json adds VG-QA to the training data.
#   DATA_ROOT=data/fine-tune CHECKPOINT=BridgeTower_pt_large.ckpt bash scripts/ftfpt_large_vqa.sh
# scripts/launch.sh lists the other environment variables; arguments go to train.py.
. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
from_checkpoint large vqav2_large_config.json "$@"
