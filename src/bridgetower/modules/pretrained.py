"""What all models share: configuration, initialisation, loading, and the size of the vocabulary."""

from __future__ import annotations

from typing import Any, ClassVar

import paddle
from paddle import Tensor, nn
from paddlenlp.transformers import PretrainedModel

from ..config import BridgeTowerConfig
from ..objectives import in_float32
from .clip_model import ImageTower
from .heads import MLMHead
from .loading import LoadingMixin

__all__ = ["BridgeTowerPretrainedModel"]

#: Deviation of new words from the mean of the old ones, in standard deviations of those: that of transformers.
_NOISE = 1e-9 ** 0.5


class BridgeTowerPretrainedModel(LoadingMixin, PretrainedModel):
    """Base of all models: configuration, initialisation, loading and saving."""

    config_class = BridgeTowerConfig
    base_model_prefix = "bridgetower"
    #: Settings that a class needs whatever the configuration says, for instance the number of its classes.
    required_settings: ClassVar[dict[str, Any]] = {}

    def __init__(self, config: BridgeTowerConfig) -> None:
        if any(getattr(config, name) != value for name, value in self.required_settings.items()):
            config = config.replace(**self.required_settings)
        super().__init__(config)

    def _init_weights(self, layer: nn.Layer) -> None:
        # As the original's `init_weights`: normal weights, zero biases, LayerNorm left at one and zero.
        normal = nn.initializer.Normal(std=self.config.initializer_range)
        if isinstance(layer, (nn.Linear, nn.Embedding, nn.Conv2D)):
            normal(layer.weight)
            if getattr(layer, "bias", None) is not None:
                nn.initializer.Constant(0.0)(layer.bias)
        elif isinstance(layer, ImageTower):
            normal(layer.class_embedding)
            normal(layer.position_embedding)
        elif isinstance(layer, MLMHead):
            normal(layer.decoder_weight)

    def wanted(self, output_hidden_states: bool | None, output_attentions: bool | None) -> tuple[bool, bool]:
        """Whether to return hidden states and attentions; None leaves it to the configuration."""
        config = self.config
        return (bool(config.output_hidden_states if output_hidden_states is None else output_hidden_states),
                bool(config.output_attentions if output_attentions is None else output_attentions))

    @property
    def dtype(self) -> paddle.dtype:
        """Type of the parameters (of the first one, where they differ)."""
        return next(iter(self.parameters())).dtype

    @property
    def device(self) -> Any:
        """Where the parameters are (of the first one, where they differ): a place of Paddle, which `to` takes."""
        return next(iter(self.parameters())).place

    def gradient_checkpointing_enable(self) -> None:
        """Keep no activations inside layers in training, as `--recompute` does: less memory for more time."""
        self._set_recompute(True)

    def gradient_checkpointing_disable(self) -> None:
        """Undo `gradient_checkpointing_enable`."""
        self._set_recompute(False)

    def _set_recompute(self, value: bool) -> None:  # PaddleNLP's `recompute_disable` enables it
        for layer in self.sublayers(include_self=True):
            if hasattr(layer, "enable_recompute"):
                layer.enable_recompute = value

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether any layer keeps no activations in training."""
        return any(getattr(layer, "enable_recompute", False) for layer in self.sublayers(include_self=True))

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Number of values in all parameters.

        Args:
            only_trainable: leave out frozen parameters.
            exclude_embeddings: leave out the tables of `nn.Embedding` layers.
        """
        left_out = {id(layer.weight) for layer in self.sublayers()
                    if exclude_embeddings and isinstance(layer, nn.Embedding)}
        return sum(int(each.size) for each in self.parameters()
                   if id(each) not in left_out and not (only_trainable and each.stop_gradient))

    def get_output_embeddings(self) -> nn.Layer | None:
        """The MLM head, whose `weight` (V, D) and `bias` (V,) score words; None in models without one."""
        return getattr(self, "mlm_head", None)

    def set_output_embeddings(self, value: nn.Layer) -> None:
        """Replace the MLM head.

        Raises:
            ValueError: the model has none.
        """
        if self.get_output_embeddings() is None:
            raise ValueError(f"{type(self).__name__} has no output embeddings; use BridgeTowerForMaskedLM")
        self.mlm_head = value

    def resize_token_embeddings(self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None,
                                mean_resizing: bool = True) -> nn.Embedding:
        """Change the number of words, of the text tower and of the MLM head.

        Args:
            new_num_tokens: words from now on; None leaves their number as it is.
            pad_to_multiple_of: round the number up to a multiple of this.
            mean_resizing: whether rows and biases that are added start near the mean of the old ones, as in
                transformers; else at random and zero, as at the initialisation.

        Returns:
            The word embeddings.
        """
        old = self.get_input_embeddings()
        wanted = old.weight.shape[0] if new_num_tokens is None else new_num_tokens
        if pad_to_multiple_of is not None:
            wanted = -(-wanted // pad_to_multiple_of) * pad_to_multiple_of
        if wanted < 1:
            raise ValueError(f"new_num_tokens={new_num_tokens} leaves no words; give a number above zero")
        if wanted == old.weight.shape[0]:
            return old
        new = nn.Embedding(wanted, old.weight.shape[1])
        new.weight = self._resized(old.weight, wanted, mean_resizing)
        self.set_input_embeddings(new)
        head = self.get_output_embeddings()
        if head is not None:
            is_tied = head.decoder_weight is old.weight
            decoder = head.decoder_weight
            head.decoder_weight = new.weight if is_tied else self._resized(decoder, wanted, mean_resizing)
            head.bias = self._resized(head.bias, wanted, mean_resizing)
        self.config.text_config.vocab_size = wanted
        return new

    def _resized(self, old: Tensor, rows: int, start_at_mean: bool) -> Tensor:
        """A parameter with more or fewer rows, (V, ...) -> (rows, ...)."""
        new = self.create_parameter([rows, *old.shape[1:]], dtype=old.dtype, is_bias=old.ndim == 1)
        if old.ndim > 1:
            nn.initializer.Normal(std=self.config.initializer_range)(new)
        kept = min(rows, old.shape[0])
        with paddle.no_grad():
            if start_at_mean:
                values = in_float32(old)
                noise = _NOISE * values.std(0, unbiased=False) * paddle.randn(new.shape)
                new.set_value((values.mean(0) + noise).astype(old.dtype))
            new[:kept] = old[:kept]
        new.stop_gradient = old.stop_gradient
        return new
