#!/usr/bin/env bash
# VQAv2, large model, from towers without vision-language pre-training.
#   DATA_ROOT=data/fine-tune bash scripts/ftfs_large_vqa.sh
# scripts/launch.sh lists the other environment variables; arguments go to train.py.
. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
from_towers large fine-tune vqav2_large_from_towers_config.json "$@"
