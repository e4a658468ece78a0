#!/usr/bin/env bash
# Trains all variants of one of the paper's comparisons in the same way and prints a table: bridges (definitions a-i),
# layers (K = 2..12), bridge_counts (internal and external layers), backbones (towers), meter (BridgeTower, METER).
#   DATA_ROOT=data/fine-tune bash scripts/ablation.sh bridges
#   CONFIG=configs/irtr_itm_itc_f30k_config.json bash scripts/ablation.sh meter
#   OUTPUT=output/pre CONFIG=configs/pretrain_config.json DATA_ROOT=data/pre-train bash scripts/ablation.sh meter
#   PRETRAINED=output/pre DATA_ROOT=data/fine-tune bash scripts/ablation.sh meter
# The experiment is VQAv2 from towers unless CONFIG names another one. PRETRAINED is the OUTPUT of an earlier
# comparison: each variant starts from its own weights there. Finished variants are not run again. scripts/launch.sh
# lists the other environment variables (DO is always "train eval"); arguments after the name go to train.py.
. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
name=${1:-}
variants=$("$PYTHON" -m bridgetower.report.ablations commands "$name") || exit 2
DO="train eval"
all=${OUTPUT:-output/ablation/$name}
variant() { # variant NAME IMAGE-TOWER TEXT-TOWER [train.py argument...]: a dash means the default tower
    if [ "$2" != - ]; then IMAGE_TOWER=${IMAGE_TOWER-$2}; fi
    if [ "$3" != - ]; then TEXT_TOWER=${TEXT_TOWER-$3}; fi
    if [ -n "${PRETRAINED:-}" ]; then CHECKPOINT=$PRETRAINED/$1; fi
    from_towers base fine-tune vqav2_from_towers_config.json "${@:4}"
}
while IFS=$'\t' read -r -a words; do
    sweep "$all/${words[0]}" variant "${words[@]}" "${@:2}"
done <<<"$variants"
if [ "${DRY_RUN:-0}" != 1 ]; then "$PYTHON" -m bridgetower.report.ablations table "$name" "$all"; fi
