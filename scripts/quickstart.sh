#!/usr/bin/env bash
# Train a model that answers questions about pictures, on a CPU, starting with nothing: set up, make the easy-VQA data,
# train a tokenizer, train a small image tower, pre-train a BridgeTower from it, fine-tune it for VQA, answer the test
# questions and draw a report.
#   bash scripts/quickstart.sh            writes to build/quickstart
#   bash scripts/quickstart.sh DIR        writes to DIR
#   bash scripts/quickstart.sh DIR --seed 1 --set data.train_transform=clip_crop
#                                         the same with arguments of train.py, for all three trainings
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:-build/quickstart}
flags=("${@:2}")
start=$SECONDS
say() { printf '\n[quickstart %4ds] %s\n' "$((SECONDS - start))" "$*"; }

say "setting up .venv"
bash scripts/environment.sh
python=.venv/bin/python

say "easy-VQA: questions, captions and images into arrow files"
"$python" -m bridgetower.preparation easy_vqa --output "$out/data"
"$python" -m bridgetower.preparation tokenizer --source "$out/data" --output "$out/tokenizer" --vocab_size 600

# Two processes use two cores better than two threads of one process do; the total batch is the same.
processes=$(($(nproc) > 1 ? 2 : 1))
export PADDLE_DISTRI_BACKEND=gloo
# Large pages for large buffers: a training step on a CPU takes a fifth less time (docs/benchmarks-log.md).
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}

run() { # run CONFIG OUTPUT [train.py argument...]
    local config=$1 output=$2
    shift 2
    "$python" -u -m paddle.distributed.launch --nproc_per_node "$processes" --log_dir "$output/log" train.py \
        --config_name "$config" --data_root "$out/data" --output_dir "$output" --overwrite_output_dir true \
        --device cpu "$@" ${flags[@]+"${flags[@]}"}
}
tokenizer=(--set "data.tokenizer=$out/tokenizer")

say "training the image tower: is it a circle, a rectangle or a triangle?"
run configs/quickstart_shapes.json "$out/shapes" --do_train --do_eval
say "pre-training (MLM, ITM and ITC) on image-caption pairs"
run configs/quickstart_pretrain.json "$out/pretrain" "${tokenizer[@]}" --image_tower "$out/shapes" --do_train
say "fine-tuning for VQA, then answering the test questions"
run configs/quickstart_vqa.json "$out/vqa" "${tokenizer[@]}" --checkpoint_path "$out/pretrain" --do_train --do_predict

say "report"
"$python" -m bridgetower.report --pretrain_log "$out/pretrain/metrics.jsonl" --finetune_log "$out/vqa/metrics.jsonl" \
    --predictions "$out/vqa/vqa_submit.json" --data "$out/data/easy_vqa_test.arrow" --output "$out"
say "done: model and answers in $out/vqa, pictures in $out"
