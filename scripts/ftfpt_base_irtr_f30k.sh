#!/usr/bin/env bash
# Retrieval on Flickr30k, base model, from pre-training: ITM with several false texts ranks all pairs.
#   DATA_ROOT=data/fine-tune CHECKPOINT=BridgeTower_pt_base.ckpt bash scripts/ftfpt_base_irtr_f30k.sh
# The other environment variables stand in scripts/launch.sh; arguments go to train.py.
. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
from_checkpoint base irtr_f30k_config.json "$@"
