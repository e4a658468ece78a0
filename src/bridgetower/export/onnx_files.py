"""Paddle programs as ONNX files with named inputs, outputs and axes, and with 8-bit weights."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["OPSET", "check_packages", "convert", "quantize"]

#: The first version with LayerNormalization is 17; engines fuse it better than its parts.
OPSET = 18
_PACKAGES = {"paddle": (), "onnx": ("paddle2onnx", "onnx"), "int8": ("paddle2onnx", "onnx", "onnxruntime")}


def check_packages(file_format: str) -> None:
    """Raise ValueError if a package that writes this format is not installed."""
    for package in _PACKAGES[file_format]:
        if importlib.util.find_spec(package) is None:
            raise ValueError(f"--format {file_format} needs the package {package}, which is not installed; "
                             "pip install -r requirements-engines.txt -c constraints.txt")


def convert(program: Path, parameters: Path, file: Path, *, outputs: Sequence[str]) -> None:
    """Write a saved Paddle program as an ONNX file that passes the ONNX checker.

    Args:
        program, parameters: the files of the Paddle program.
        file: to write.
        outputs: names of the outputs, in their order.

    Raises:
        ValueError: paddle2onnx cannot convert the program.
    """
    import onnx
    import paddle2onnx

    try:
        # No optimizing tool: paddle2onnx lets the default one install packages by itself.
        data = paddle2onnx.export(str(program), str(parameters), opset_version=OPSET, optimize_tool="none")
    except UnboundLocalError:  # it logs the reason and goes on without a result
        raise ValueError(f"paddle2onnx cannot convert {program.stem}; its message above says why") from None
    model = onnx.load_from_string(data)
    _hold_weights_as_initializers(model.graph)
    _name_outputs(model.graph, outputs)
    _name_axes(model.graph)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(file))


def _hold_weights_as_initializers(graph: Any) -> None:
    """Turn the nodes that hold constants into initializers, where quantization looks for weights."""
    used = {name for node in graph.node for name in node.input}
    others = []
    for node in graph.node:
        if node.op_type != "Constant":
            others.append(node)
        elif node.output[0] in used:
            weight = graph.initializer.add()
            weight.CopyFrom(node.attribute[0].t)
            weight.name = node.output[0]
    del graph.node[:]
    graph.node.extend(others)


def _name_outputs(graph: Any, names: Sequence[str]) -> None:
    new_names = {output.name: name for output, name in zip(graph.output, names, strict=True)}
    for node in graph.node:
        for each in (node.input, node.output):
            each[:] = [new_names.get(name, name) for name in each]
    for output in graph.output:
        output.name = new_names[output.name]


def _name_axes(graph: Any) -> None:
    """Only the batch size, which comes first, and the number of text tokens are free."""
    for value in (*graph.input, *graph.output):
        for index, axis in enumerate(value.type.tensor_type.shape.dim):
            if not axis.HasField("dim_value"):
                axis.dim_param = "tokens" if index else "batch"


def quantize(file: Path, output: Path) -> None:
    """Write an ONNX file with the weights of its linear layers in 8 bits; activations are quantized as they come.

    Weights use 7 of the 8 bits: on processors without VNNI, sums of two full products would saturate.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it recommends a preparation that changes nothing here
    try:
        quantize_dynamic(file, output, op_types_to_quantize=["MatMul"], per_channel=True, reduce_range=True,
                         weight_type=QuantType.QInt8, extra_options={"MatMulConstBOnly": True})
    finally:
        root.setLevel(level)
