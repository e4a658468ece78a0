#!/usr/bin/env bash
# Retrieval on Flickr30k, base model, from pre-training: a ranking head, trained with false texts, scores all pairs.
#   DATA_ROOT=data/fine-tune CHECKPOINT=BridgeTower_pt_base.ckpt bash scripts/ftfpt_base_irtr_f30k.sh
# scripts/launch.sh lists the other environment variables; arguments go to train.py.
. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
from_checkpoint base irtr_f30k_config.json "$@"
