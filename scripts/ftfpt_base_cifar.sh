#!/usr/bin/env bash
# CIFAR-10 and CIFAR-100 with the image tower of a pre-trained base model, in each of the paper's settings.
#   DATA_ROOT=data/fine-tune CHECKPOINT=BridgeTower_pt_base.ckpt bash scripts/ftfpt_base_cifar.sh
#   CHECKPOINT= IMAGE_TOWER=openai/clip-vit-base-patch16 DATASETS=cifar10 EPOCHS=10 bash scripts/ftfpt_base_cifar.sh
# DATASETS, LEARNING_RATES and EPOCHS choose among the settings; finished runs are not repeated. METER checkpoints
# work too. The classifier is trained as well; --set task.train_classifier=false leaves it at its random initial values,
# as the original does.
# scripts/launch.sh lists the other environment variables; arguments go to train.py.
. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
DO=${DO:-train eval}
all=${OUTPUT:-output/$script}
for dataset in ${DATASETS:-cifar10 cifar100}; do
    for rate in ${LEARNING_RATES:-1e-5 2e-5}; do
        for epochs in ${EPOCHS:-10 100}; do
            sweep "$all/$dataset/${rate}_$epochs" from_checkpoint base "${dataset}_config.json" \
                --set "optimization.learning_rate=$rate" --num_train_epochs "$epochs" "$@"
        done
    done
done
