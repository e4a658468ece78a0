"""Divides rows into splits by what is in their pictures, so that no picture is in two splits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from .items import BadRowError

__all__ = ["Division", "Shares", "content_hash"]


@dataclass(frozen=True)
class Shares:
    """How much of the rows without a given split each split gets.

    Attributes:
        val, test: shares of the rows, 0 to 1.
        seed: another seed gives another division.
        given: the splits that the source gives. Without val, that is drawn from train; without any, all are drawn.
    """

    val: float
    test: float
    seed: int
    given: frozenset[str]

    def is_drawn(self, given: str | None) -> bool:
        """Whether the split of a row is drawn, by the split that the source gives it."""
        return given is None or (given == "train" and "val" not in self.given)

    def split(self, given: str | None, content: int) -> str:
        """The split of a row.

        Args:
            given: what the source says.
            content: `content_hash` of its picture, or of its text.
        """
        if given is not None and not self.is_drawn(given):
            return given
        key = hashlib.blake2b(content.to_bytes(8, "big") + str(self.seed).encode(), digest_size=8).digest()
        place = int.from_bytes(key, "big") / 2**64
        if given is None and place < self.test:
            return "test"
        return "val" if place < self.val + (self.test if given is None else 0.0) else "train"


class Division:
    """Finds the split of each row, and remembers where pictures are if they could come to be in two splits.

    A row of two pictures follows the one that is in a split already. If both are, in different ones, it is left out.

    Attributes:
        across: rows that were left out for that.
    """

    def __init__(self, shares: Shares, pairs: bool) -> None:
        """Begin without pictures; `pairs` says that a row has two."""
        self.shares = shares
        self.remembers = pairs or bool(shares.given)
        self.across = 0
        self._split_of: dict[int, str] = {}

    def remember(self, content: int, split: str) -> None:
        """Note a picture of a table that is written already."""
        if self.remembers:
            self._split_of[content] = split

    def split(self, where: str, given: str | None, contents: Sequence[int]) -> str | None:
        """The split of a row; None if it must be left out, see the class.

        Args:
            where: file and row, for messages.
            given: the split that the source gives.
            contents: `content_hash` of each picture, or of the text.

        Raises:
            BadRowError: the source gives it another split than an earlier row with the same picture.
        """
        split = self.shares.split(given, contents[0])
        known = {self._split_of[content] for content in contents if content in self._split_of}
        if len(contents) > 1 and self.shares.is_drawn(given):
            drawn = known - ({"test"} if given else set())
            if len(drawn) > 1:
                self.across += 1
                return None
            split = min(drawn, default=split)
        if known - {split}:
            raise BadRowError(
                f"{where}: the same picture is in the split {split} here and in {min(known - {split})} before"
            )
        for content in contents:
            self.remember(content, split)
        return split


def content_hash(content: bytes) -> int:
    """64 bits that stand for a picture or a text."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")
