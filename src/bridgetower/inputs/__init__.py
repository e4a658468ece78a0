"""Pictures and texts to model inputs: tokenizer, image transforms, processor."""

from .processor import BridgeTowerImageProcessor, BridgeTowerProcessor
from .tokenizer import BridgeTowerTokenizer, EncodedTexts

__all__ = ["BridgeTowerImageProcessor", "BridgeTowerProcessor", "BridgeTowerTokenizer", "EncodedTexts"]
