#!/usr/bin/env bash
# VQAv2, large model, from pre-training; with VG-QA by CONFIG=configs/vqav2_large_vgqa_config.json.
#   DATA_ROOT=data/fine-tune CHECKPOINT=BridgeTower_pt_large.ckpt bash scripts/ftfpt_large_vqa.sh
# The other environment variables stand in scripts/launch.sh; arguments go to train.py.
. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
from_checkpoint large vqav2_large_config.json "$@"
