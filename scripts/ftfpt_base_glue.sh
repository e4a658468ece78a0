#!/usr/bin/env bash
# GLUE with the text tower of a pre-trained base model: eight tasks, each in the paper's settings.
#   DATA_ROOT=data/fine-tune CHECKPOINT=BridgeTower_pt_base.ckpt bash scripts/ftfpt_base_glue.sh
#   CHECKPOINT= TEXT_TOWER=FacebookAI/roberta-base TASKS="cola rte" bash scripts/ftfpt_base_glue.sh
# TASKS, LEARNING_RATES and BATCH_SIZES choose among the settings; finished runs are not repeated. METER
# checkpoints work too.
# scripts/launch.sh lists the other environment variables; arguments go to train.py.
. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
all=${OUTPUT:-output/$script}
for task in ${TASKS:-cola stsb mrpc rte sst2 qnli qqp mnli}; do
    for rate in ${LEARNING_RATES:-1e-5 2e-5}; do
        for size in ${BATCH_SIZES:-16 32}; do
            sweep "$all/$task/${rate}_$size" from_checkpoint base glue_config.json --batch_size "$size" \
                --set "data.datasets=[\"$task\"]" "optimization.learning_rate=$rate" \
                "training.per_device_train_batch_size=$size" "$@"
        done
    done
done
