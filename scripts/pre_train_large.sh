#!/usr/bin/env bash
# Pre-trains the large model (MLM and ITM) on COCO, Visual Genome, SBU and Conceptual Captions, from towers.
#   DATA_ROOT=data/pre-train OUTPUT=output/large bash scripts/pre_train_large.sh
# scripts/launch.sh lists the other environment variables; arguments go to train.py.
. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
DO=${DO:-train eval} from_towers large pre-train pretrain_large_config.json "$@"
