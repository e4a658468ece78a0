#!/usr/bin/env bash
# Trains the variants of one of the paper's comparisons alike and prints their table: bridges (definitions a-i), layers
# (K = 2..12), bridge_counts (internal and external layers), backbones (towers), meter (BridgeTower, METER).
#   DATA_ROOT=data/fine-tune bash scripts/ablation.sh bridges
#   CONFIG=configs/irtr_itm_itc_f30k_config.json bash scripts/ablation.sh meter
#   PRETRAINED=output/pre DATA_ROOT=data/fine-tune bash scripts/ablation.sh meter   after the same with
#                                                 OUTPUT=output/pre CONFIG=configs/pretrain_config.json
# VQAv2 from towers unless CONFIG names another experiment; with PRETRAINED, the OUTPUT of an earlier comparison, each
# variant starts from its own weights there. A variant that is done is not run again. The other environment variables
# stand in scripts/launch.sh (DO is always "train eval"); arguments after the name go to train.py.
. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
name=${1:-}
variants=$("$PYTHON" -m bridgetower.report.ablations commands "$name") || exit 2
DO="train eval"
all=${OUTPUT:-output/ablation/$name}
variant() { # variant NAME IMAGE-TOWER TEXT-TOWER [train.py argument...]: a dash is no tower of its own
    if [ "$2" != - ]; then IMAGE_TOWER=${IMAGE_TOWER-$2}; fi
    if [ "$3" != - ]; then TEXT_TOWER=${TEXT_TOWER-$3}; fi
    if [ -n "${PRETRAINED:-}" ]; then CHECKPOINT=$PRETRAINED/$1; fi
    from_towers base fine-tune vqav2_from_towers_config.json "${@:4}"
}
while IFS=$'\t' read -r -a words; do
    sweep "$all/${words[0]}" variant "${words[@]}" "${@:2}"
done <<<"$variants"
if [ "${DRY_RUN:-0}" != 1 ]; then "$PYTHON" -m bridgetower.report.ablations table "$name" "$all"; fi
