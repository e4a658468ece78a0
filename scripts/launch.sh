# Functions of the launch scripts, which source this file. Each script runs unchanged on one CPU process or on many
# GPUs, on one host or several. Arguments of a script go to train.py and win over what is set here. The environment
# variables, with their defaults in brackets:
#
#   DATA_ROOT    folder of the arrow files           [data/fine-tune; for the pre-training scripts data/pre-train]
#   CHECKPOINT   weights to start from, or to evaluate: a folder, a file or a name on the Hugging Face hub
#                [the released base or large model; for scripts that start from towers none]
#   IMAGE_TOWER  without CHECKPOINT: weights of the image tower     [for scripts from towers openai/clip-vit-...]
#   TEXT_TOWER   without CHECKPOINT: weights of the text tower      [for scripts from towers FacebookAI/roberta-...]
#                An empty value, as in "CHECKPOINT=", means none.
#   TOKENIZER    folder of tokenizer files           [CHECKPOINT or, without one, TEXT_TOWER, if it is a folder with
#                                                     tokenizer files; else the experiment's, from the Hugging Face hub]
#   OUTPUT       folder of checkpoints, logs, metrics and predictions       [output/NAME-OF-THE-SCRIPT]
#   CONFIG       another experiment file             [the script's own in configs/]
#   DO           any of "train eval predict"         [all; for pre-training and CIFAR "train eval"]
#   DEVICES      GPUs as "0,1,2,3", or "cpu"         [$CUDA_VISIBLE_DEVICES, else all GPUs, else cpu]
#   NPROC        processes on CPUs                   [1]
#   NNODES       hosts; start the same script on each                       [1]
#   MASTER       HOST:PORT of the first host; needed with several hosts
#   PYTHON       interpreter                         [.venv/bin/python, else python]
#   DRY_RUN      1 prints the command instead of running it
#
# The total batch is that of the experiment on any number of devices; train.py works out the batch per device.

set -euo pipefail
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
script=$(basename "$0" .sh)

fail() {
    echo "$script: error: $*" >&2
    exit 2
}

if [ -z "${PYTHON:-}" ]; then
    PYTHON=python
    if [ -x "$root/.venv/bin/python" ]; then PYTHON=$root/.venv/bin/python; fi
fi
export PYTHONPATH="$root/src${PYTHONPATH:+:$PYTHONPATH}"
# Large pages for large buffers: a training step on a CPU takes a fifth less time (docs/benchmarks-log.md).
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}

find_devices() { # sets $devices: the visible GPUs of this host, or cpu
    local count=0
    devices=${DEVICES:-${CUDA_VISIBLE_DEVICES:-}}
    if [ -z "${devices:-${CUDA_VISIBLE_DEVICES+none}}" ] && command -v nvidia-smi >/dev/null; then
        count=$(nvidia-smi --list-gpus 2>/dev/null | grep -c . || true)
    fi
    if [ "$count" -gt 0 ]; then devices=$(seq -s , 0 $((count - 1))); fi
    devices=${devices:-cpu}
}

launcher() { # launcher: sets $launch, the words before train.py's flags, and $processes, the number of processes
    local nodes=${NNODES:-1} logs=$OUTPUT/log here
    find_devices
    # The hosts share the output folder, and each calls its first process 0.
    if [ "$nodes" != 1 ]; then logs+=/$HOSTNAME; fi
    launch=("$PYTHON" -u -m paddle.distributed.launch --log_dir "$logs")
    if [ "$devices" = cpu ]; then
        here=${NPROC:-1}
        launch+=(--nproc_per_node "$here")
        if [ -z "${CUDA_VISIBLE_DEVICES:-}" ]; then unset CUDA_VISIBLE_DEVICES; fi # Paddle's launcher fails when it is empty
    else
        here=$(tr , '\n' <<<"$devices" | grep -c .)
        launch+=(--devices "$devices")
    fi
    [[ "$nodes" =~ ^[1-9][0-9]*$ && "$here" =~ ^[1-9][0-9]*$ ]] || fail "NNODES=$nodes and NPROC=$here must be positive"
    processes=$((nodes * here))
    if [ "$nodes" -gt 1 ]; then
        [ -n "${MASTER:-}" ] || fail "NNODES=$nodes needs MASTER=HOST:PORT, the address of the first host"
        launch+=(--nnodes "$nodes" --master "$MASTER")
    fi
    # Paddle's default backend on CPUs lacks operations that gathering needs.
    if [ "$devices" = cpu ] && [ "$processes" -gt 1 ]; then launch=(env PADDLE_DISTRI_BACKEND=gloo "${launch[@]}"); fi
}

run() { # run CONFIG [train.py argument...]: launches train.py with the experiment, the environment and the arguments
    local config=$1 word flags=()
    shift
    launcher
    for word in ${DO:-train eval predict}; do
        case $word in
            train | eval | predict) flags+=("--do_$word") ;;
            *) fail "DO has '$word'; use any of train, eval, predict" ;;
        esac
    done
    if [ -n "${TOKENIZER:-}" ]; then flags+=(--set "data.tokenizer=$TOKENIZER"); fi
    if [ "$devices" = cpu ]; then flags+=(--device cpu); else flags+=(--device gpu); fi
    launch+=("$root/train.py" --config_name "$config" --data_root "$DATA_ROOT" --output_dir "$OUTPUT"
        --fit_device_batch true "${flags[@]}" "$@")
    if [ "${DRY_RUN:-0}" = 1 ]; then
        printf '%q ' "${launch[@]}"
        echo
    else
        "${launch[@]}"
    fi
}

experiment() { # experiment DATA-FOLDER CONFIG: defaults of what the environment does not set
    DATA_ROOT=${DATA_ROOT:-data/$1}
    CONFIG=${CONFIG:-$root/configs/$2}
    OUTPUT=${OUTPUT:-output/$script}
}

has_tokenizer() { # has_tokenizer FOLDER
    [ -f "$1/tokenizer.json" ] || [ -f "$1/vocab.json" ] || [ -f "$1/vocab.txt" ]
}

run_from() { # run_from CHECKPOINT IMAGE-TOWER TEXT-TOWER [train.py argument...]: empty values are left out
    local words=${1:-$3}
    if [ -z "${TOKENIZER:-}" ] && [ -n "$words" ] && has_tokenizer "$words"; then TOKENIZER=$words; fi
    if [ -n "$1" ]; then
        run "$CONFIG" --checkpoint_path "$1" "${@:4}"
    else
        run "$CONFIG" ${2:+--image_tower "$2"} ${3:+--text_tower "$3"} "${@:4}"
    fi
}

from_checkpoint() { # from_checkpoint base|large CONFIG [train.py argument...]
    experiment fine-tune "$2"
    run_from "${CHECKPOINT-BridgeTower/bridgetower-$1-itm-mlm}" "${IMAGE_TOWER:-}" "${TEXT_TOWER:-}" "${@:3}"
}

from_towers() { # from_towers base|large DATA-FOLDER CONFIG [train.py argument...]
    local clip=openai/clip-vit-base-patch16
    if [ "$1" = large ]; then clip=openai/clip-vit-large-patch14; fi
    experiment "$2" "$3"
    run_from "${CHECKPOINT:-}" "${IMAGE_TOWER-$clip}" "${TEXT_TOWER-FacebookAI/roberta-$1}" "${@:4}"
}

sweep() { # sweep FOLDER COMMAND...: one of many runs, in its own folder; skipped when FOLDER has its results
    local results=eval_results.json
    if [[ "${DO:-predict}" == *predict* ]]; then results=test_results.json; fi
    if [ -f "$1/$results" ]; then
        echo "$script: $1 is done" >&2
    else
        (OUTPUT=$1 && "${@:2}" --overwrite_output_dir true) </dev/null
    fi
}
