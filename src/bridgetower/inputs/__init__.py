"""Pictures and texts to model inputs: tokenizer, image transforms, processors."""

from .encoding import Encoding
from .image_processor import BridgeTowerImageProcessor, BridgeTowerImageProcessorFast
from .processor import BridgeTowerProcessor
from .tokenizer import BridgeTowerTokenizer, EncodedTexts

__all__ = ["BridgeTowerImageProcessor", "BridgeTowerImageProcessorFast", "BridgeTowerProcessor", "BridgeTowerTokenizer",
           "EncodedTexts", "Encoding"]
