"""An index of pictures by their vectors: a LanceDB table in a folder, written by one process at a time."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ..files import locked_folder
from .identity import same_model
from .vector_files import Made

__all__ = ["APPROXIMATE_ABOVE", "Entry", "Near", "PictureIndex"]

_TABLE = "pictures"
_METADATA = "bridgetower"
#: Above so many vectors they are grouped, and a query reads the nearest groups only.
APPROXIMATE_ABOVE = 100_000
#: Of the groups that a query reads: at least so many, and at least this share of all.
_LEAST_GROUPS, _GROUP_SHARE = 32, 0.05
#: Values in one condition of a query or a deletion.
_VALUES_PER_CONDITION = 500


@dataclass(frozen=True)
class Entry:
    """A picture as it was when it was indexed.

    Attributes:
        image: absolute path.
        sha256: of its content.
        size: in bytes; 0 where only its vector was given.
        modified: time in nanoseconds.
    """

    image: str
    sha256: str
    size: int = 0
    modified: int = 0


class Near(NamedTuple):
    """A picture of an index: its path, its cosine similarity to a vector, and the hash of its content."""

    image: str
    similarity: float
    sha256: str


class PictureIndex:
    """An index, which may not be there yet: it is made by the first `upsert`.

    Args:
        place: its folder.

    Attributes:
        place: its folder.
        made: which model made its vectors; None while there is none.
        model: where that model was read from.
    """

    def __init__(self, place: str | Path) -> None:
        self.place = Path(place).expanduser()
        self.made: Made | None = None
        self.model = ""
        self._table: Any = None
        if (self.place / f"{_TABLE}.lance").is_dir():
            self._open()

    @classmethod
    def existing(cls, place: str | Path) -> PictureIndex:
        """An index that is there.

        Raises:
            FileNotFoundError: it is not.
        """
        index = cls(place)
        if index.made is None:
            raise FileNotFoundError(f"{place} is no index; make one with bridgetower index MODEL FOLDER --output "
                                    f"{place}")
        return index

    def __len__(self) -> int:
        return 0 if self._table is None else int(self._table.count_rows())

    def _connect(self) -> Any:
        os.environ.setdefault("RUST_LOG", "error")  # it warns about every table that it makes
        import lancedb

        return lancedb.connect(str(self.place))

    def _open(self) -> None:
        try:
            self._table = self._connect().open_table(_TABLE)
            stored = json.loads((self._table.schema.metadata or {}).get(_METADATA.encode(), b"{}"))
        except (RuntimeError, ValueError) as error:  # of LanceDB
            reason = str(error).splitlines()[0][:200]
            raise ValueError(f"{self.place} is an index that cannot be read ({reason}); remove it and make it again"
                             ) from error
        if "made" not in stored:
            raise ValueError(f"{self.place} holds a table that is no index of bridgetower; name another folder")
        self.made, self.model = Made(**stored["made"]), stored["model"]

    def check_model(self, made: Made, model: str) -> None:
        """Refuse vectors of another model than the index holds.

        Raises:
            ValueError: names the model that it was made with.
        """
        if self.made is not None and not same_model(self.made.probe, made.probe):
            raise ValueError(f"{self.place} was made with another model ({self.made.model_class} of {self.model}) than "
                             f"{model}, or in another precision; use that one, or make another index")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the index against other writers; readers may go on.

        Raises:
            FolderInUseError: another process is writing.
            FileExistsError: there is a file where the folder should be.
        """
        if self.place.is_file():
            raise FileExistsError(f"{self.place} is a file; name a folder for the index")
        with locked_folder(self.place):
            yield

    def entries(self) -> Iterator[Entry]:
        """All pictures."""
        if self._table is not None:
            query = self._table.search().select(["image", "sha256", "size", "modified"])
            for batch in query.to_batches():
                for record in batch.to_pylist():
                    yield Entry(**{name: record[name] for name in ("image", "sha256", "size", "modified")})

    def vectors_of(self, contents: Sequence[str]) -> dict[str, np.ndarray]:
        """The vectors of pictures by the hashes of their contents, as far as they are in the index."""
        found: dict[str, np.ndarray] = {}
        for condition in _conditions("sha256", contents) if self._table is not None else ():
            for batch in self._table.search().where(condition).select(["sha256", "vector"]).to_batches():
                for record in batch.to_pylist():
                    found[record["sha256"]] = np.array(record["vector"], np.float32)
        return found

    def path_of(self, content: str) -> str | None:
        """A picture with this hash of its content, or None."""
        condition = next(_conditions("sha256", [content]))
        found = self._table.search().where(condition).limit(1).select(["image"]).to_arrow()["image"].to_pylist()
        return found[0] if found else None

    def upsert(self, entries: Sequence[Entry], vectors: np.ndarray, made: Made, model: str) -> None:
        """Add pictures, or replace those of the same paths, in one step that happens wholly or not at all.

        Args:
            entries: M pictures.
            vectors: (M, C) float32 of unit length.
            made, model: which model made the vectors.
        """
        schema = _schema(made, model)
        columns = [pa.array([getattr(entry, field.name) for entry in entries], field.type) for field in schema
                   if field.name != "vector"]
        flat = pa.array(np.ascontiguousarray(vectors, np.float32).ravel())
        rows = pa.Table.from_arrays([*columns, pa.FixedSizeListArray.from_arrays(flat, made.width)], schema=schema)
        if self._table is None:
            self._connect().create_table(_TABLE, rows)
            self._open()
            return
        self._table.merge_insert("image").when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def delete(self, images: Sequence[str]) -> None:
        """Remove pictures by their paths."""
        for condition in _conditions("image", images):
            self._table.delete(condition)

    def finish(self, approximate_above: int = APPROXIMATE_ABOVE) -> None:
        """Join the small files that adding leaves behind, and group the vectors when there are many."""
        if self._table is None:
            return
        count = len(self)
        if count > approximate_above and not self._is_grouped():
            from lancedb.index import IvfFlat

            self._table.create_index("vector", config=IvfFlat(distance_type="cosine",
                                                              num_partitions=max(2, round(math.sqrt(count)))))
        self._table.optimize()

    def _is_grouped(self) -> bool:
        return any("vector" in index.columns for index in self._table.list_indices())

    def nearest(self, vectors: np.ndarray, count: int, exact: bool = False) -> list[list[Near]]:
        """The pictures nearest to each of some vectors, best first; many at once take less time than one by one.

        Args:
            vectors: (Q, C) unit vectors to compare with.
            count: pictures to return for each.
            exact: compare with every picture even where the vectors are grouped.
        """
        query = self._table.search(list(np.asarray(vectors, np.float32))).distance_type("cosine").limit(count)
        if exact:
            query = query.bypass_vector_index()
        else:
            groups = round(math.sqrt(len(self)))
            query = query.nprobes(max(_LEAST_GROUPS, round(_GROUP_SHARE * groups)))
        rows = query.select(["image", "sha256", "_distance"]).to_arrow().to_pylist()
        found: list[list[Near]] = [[] for _ in vectors]
        for row in rows:  # a single vector has no number
            found[row.get("query_index", 0)].append(Near(row["image"], 1 - row["_distance"], row["sha256"]))
        # LanceDB orders neither what it finds for several vectors nor pictures that are equally near.
        return [sorted(some, key=lambda near: (-near.similarity, near.image)) for some in found]


def _schema(made: Made, model: str) -> pa.Schema:
    return pa.schema([("image", pa.string()), ("sha256", pa.string()), ("size", pa.int64()), ("modified", pa.int64()),
                      ("vector", pa.list_(pa.float32(), made.width))],
                     metadata={_METADATA: json.dumps({"made": asdict(made), "model": model})})


def _conditions(column: str, values: Iterable[str]) -> Iterator[str]:
    """SQL conditions that the rows with some values meet."""
    quoted = ["'" + value.replace("'", "''") + "'" for value in values]
    for start in range(0, len(quoted), _VALUES_PER_CONDITION):
        yield f"{column} IN ({', '.join(quoted[start:start + _VALUES_PER_CONDITION])})"
