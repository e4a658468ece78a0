#!/usr/bin/env bash
# Visual reasoning on NLVR2, base model, from pre-training.
#   DATA_ROOT=data/fine-tune CHECKPOINT=BridgeTower_pt_base.ckpt bash scripts/ftfpt_base_nlvr2.sh
# scripts/launch.sh lists the other environment variables; arguments go to train.py.
. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
from_checkpoint base nlvr2_config.json "$@"
