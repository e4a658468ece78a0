"""Operations that are faster on a CPU with our own kernels: one function per operation, Paddle's operator elsewhere.

Paddle 3.3 on a CPU sums the gradients of biases and of LayerNorm's parameters on one thread and with long strides (a
bias of 3072 over 1300 rows: 50 ms, where the products of the same layer take 58), draws the numbers of a dropout mask
one by one (8 ns per element), and runs softmax, activations and copies on one thread. The functions here avoid that;
results are equal up to rounding. `dispatch` decides where they run: small tensors are left to Paddle's operators, as
Python takes longer to call several steps than these take, and `BRIDGETOWER_KERNELS=paddle` leaves it all to them.
"""

from .activations import gelu, quick_gelu
from .affine import add_bias, linear, patch_embedding
from .dispatch import SWITCH, forced_kernels
from .dropout import dropout
from .folded_attention import Folding, few_keys_attention, few_queries_attention, folded_share, folding
from .normalization import layer_norm
from .scaled_dot_product import attention, attention_with_weights
from .threads import share_rows

__all__ = ["SWITCH", "Folding", "add_bias", "attention", "attention_with_weights", "dropout", "few_keys_attention",
           "few_queries_attention", "folded_share", "folding", "forced_kernels", "gelu", "layer_norm", "linear",
           "patch_embedding", "quick_gelu", "share_rows"]
