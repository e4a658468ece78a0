"""The splits of the published data sets, in the order of writing; apart from what reads them, for the command line."""

from __future__ import annotations

EASY_VQA = ("train", "test")
COCO = ("train", "val", "restval", "test")
FLICKR30K = ("train", "val", "test")
CC = ("val", "train")
CC12M = SBU = VISUAL_GENOME = ("train",)
VQAV2 = ("train", "val", "test", "test-dev", "trainable_val", "rest_val")
VGQA = ("train", "val")
SNLI_VE = ("train", "dev", "test")
NLVR2 = ("train", "dev", "test1", "balanced_dev", "balanced_test1", "unbalanced_dev", "unbalanced_test1")
