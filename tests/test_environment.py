"""The installed packages are those of the lock and can be imported; data code starts without Paddle and PyTorch."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
REPAIR = "run: bash scripts/environment.sh --tests"

# Everything that the library, the scripts and the tests import from other projects.
# Import name -> distribution. Those on one line are imported by one process, in this order.
IMPORTS: list[dict[str, str]] = [
    {"paddle": "paddlepaddle", "paddlenlp.trainer": "paddlenlp", "paddlenlp.transformers": "paddlenlp"},
    {"visualdl": "visualdl", "aistudio_sdk.hub": "aistudio-sdk", "google.protobuf": "protobuf"},
    {
        "numpy": "numpy",
        "pandas": "pandas",
        "pyarrow": "pyarrow",
        "sklearn.metrics": "scikit-learn",
        "scipy.stats": "scipy",
        "einops": "einops",
        "charset_normalizer": "charset-normalizer",
    },
    {"cv2": "opencv-python-headless", "PIL.Image": "pillow", "matplotlib.figure": "matplotlib", "easy_vqa": "easy-vqa"},
    {
        "tokenizers": "tokenizers",
        "huggingface_hub": "huggingface_hub",
        "safetensors.numpy": "safetensors",
        "tqdm": "tqdm",
    },
    {"torch": "torch", "transformers": "transformers"},
    {"lancedb": "lancedb", "fastapi": "fastapi", "fastapi_offline": "fastapi-offline", "uvicorn": "uvicorn"},
    {"playwright.sync_api": "playwright"},
    {"onnx": "onnx", "onnxruntime": "onnxruntime", "openvino": "openvino"},
]

# Says what it imports beforehand, so that a crash in compiled code is laid to the right package.
_IMPORT_EACH = """
import importlib, sys
for name in sys.argv[1:]:
    print("importing", name, flush=True)
    importlib.import_module(name)
"""


def _requirements(name: str) -> dict[str, Requirement]:
    """The requirements of a file that apply to this Python, by normalised name."""
    lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in (ROOT / name).read_text().splitlines()]
    parsed = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {canonicalize_name(one.name): one for one in parsed if one.marker is None or one.marker.evaluate()}


def _locked_versions() -> dict[str, str]:
    return {name: str(one.specifier).removeprefix("==") for name, one in _requirements("constraints.txt").items()}


def _installed_version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONWARNINGS": "ignore"}


@pytest.mark.slow
@pytest.mark.parametrize("modules", IMPORTS, ids=lambda modules: next(iter(modules)))
def test_the_locked_packages_can_be_imported(modules: dict[str, str]) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _IMPORT_EACH, *modules], capture_output=True, text=True, env=_environment(), check=False,
        timeout=600,
    )
    if run.returncode:
        name = re.findall(r"^importing (\S+)$", run.stdout, re.MULTILINE)[-1]
        reason = (run.stderr.strip().splitlines() or ["no message"])[-1]
        package = canonicalize_name(modules[name])
        versions = f"{_installed_version(package)}, locked {_locked_versions()[package]}"
        pytest.fail(
            f"import {name} of {package} ({versions}) breaks (status {run.returncode}): {reason}; {REPAIR}",
            pytrace=False,
        )


def test_the_installed_versions_are_the_locked_ones() -> None:
    different = []
    for name, locked in _locked_versions().items():
        installed = _installed_version(name)
        # 2.13.0+cpu is 2.13.0 built for the CPU.
        if installed == "not installed" or Version(installed).public != Version(locked).public:
            different.append(f"{name}: {installed}, locked {locked}")
    assert not different, f"not as constraints.txt locks it ({REPAIR}):\n  " + "\n  ".join(different)


def test_no_package_misses_what_it_requires() -> None:
    run = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False,
                         timeout=240)
    assert run.returncode == 0, f"pip check finds ({REPAIR}):\n{run.stdout}{run.stderr}"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-test.txt", "requirements-serve.txt",
                                  "requirements-engines.txt", "requirements-gpu.txt"])
def test_the_lock_holds_every_direct_dependency(name: str) -> None:
    locked = _locked_versions()
    for package, requirement in _requirements(name).items():
        if package != "paddlepaddle-gpu":
            assert package in locked, f"{name} asks for {package}, constraints.txt does not lock it"
            assert requirement.specifier.contains(locked[package]), f"{name}: {requirement}, locked {locked[package]}"


def test_the_gpu_requirements_differ_in_paddle_alone() -> None:
    cpu, gpu = _requirements("requirements.txt"), _requirements("requirements-gpu.txt")
    cpu.pop("paddlepaddle")
    gpu.pop("paddlepaddle-gpu")
    assert {name: str(one) for name, one in cpu.items()} == {name: str(one) for name, one in gpu.items()}


@pytest.mark.parametrize(
    "module",
    ["bridgetower", "bridgetower.datasets", "bridgetower.inputs", "bridgetower.preparation", "bridgetower.report"],
)
def test_data_code_starts_without_paddle_and_torch(module: str) -> None:
    script = (
        f"import sys, {module}; print(*sorted({{'paddle', 'paddlenlp', 'torch', 'transformers'}} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=240)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [], f"import {module} also imports {run.stdout}"
