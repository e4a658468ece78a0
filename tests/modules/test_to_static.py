"""`paddle.jit.to_static` of whole models, with a free batch size and text length."""

from __future__ import annotations

from typing import Any

import paddle
import pytest
from paddle.static import InputSpec

from bridgetower import (
    BridgeTowerForImageAndTextRetrieval,
    BridgeTowerForMaskedLM,
    BridgeTowerForQuestionAnswering,
    BridgeTowerModel,
)
from bridgetower.config import tower_settings
from tests.models import SIZE, small_batch, small_config, small_model

SPECIFICATION = [InputSpec([None, None], "int64", "input_ids"), InputSpec([None, None], "int64", "attention_mask"),
                 InputSpec([None, 3, SIZE, SIZE], "float32", "pixel_values")]

#: Programs are translated layer by layer, so that time grows with depth.
SHALLOW = {f"{name}_config": tower_settings(tower) | {"num_hidden_layers": 2}
           for name, tower in (("text", small_config().text_config), ("vision", small_config().vision_config))}


class Call(paddle.nn.Layer):
    """A model called by its names, as a user's program does."""

    def __init__(self, model: paddle.nn.Layer) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Any, attention_mask: Any, pixel_values: Any) -> Any:
        return self.model(input_ids=input_ids, attention_mask=attention_mask, pixel_values=pixel_values)


@pytest.mark.slow
@pytest.mark.parametrize("full_graph", [True, False], ids=["full_graph", "sot"])
@pytest.mark.parametrize("model_class", [BridgeTowerModel, BridgeTowerForQuestionAnswering, BridgeTowerForMaskedLM,
                                         BridgeTowerForImageAndTextRetrieval])
def test_equals_the_dynamic_model(model_class: Any, full_graph: bool) -> None:
    model = small_model(model_class, **SHALLOW)
    static = paddle.jit.to_static(Call(model), input_spec=SPECIFICATION if full_graph else None, full_graph=full_graph)
    static.eval()
    name = "pooler_output" if model_class is BridgeTowerModel else "logits"
    for rows, length in ((2, 6), (4, 5)):
        batch = small_batch(rows)
        batch |= {key: batch[key][:, :length] for key in ("input_ids", "attention_mask")}
        with paddle.no_grad():
            difference = static(*batch.values())[name] - model(**batch)[name]
        assert float(difference.abs().max()) < 1e-5
