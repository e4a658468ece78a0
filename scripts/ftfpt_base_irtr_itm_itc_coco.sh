#!/usr/bin/env bash
# Retrieval on COCO, base model, from pre-training: ITC picks the candidates for ITM, and its hard negatives.
#   DATA_ROOT=data/fine-tune CHECKPOINT=BridgeTower_pt_base.ckpt bash scripts/ftfpt_base_irtr_itm_itc_coco.sh
# scripts/launch.sh lists the other environment variables; arguments go to train.py.
. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
from_checkpoint base irtr_itm_itc_coco_config.json "$@"
