"""Column layouts of the arrow files, one per family of data sets."""

from __future__ import annotations

import pyarrow as pa

_TEXTS = pa.list_(pa.string())
_INTEGERS = pa.list_(pa.int64())

CAPTIONS = pa.schema([("image", pa.binary()), ("caption", _TEXTS), ("image_id", pa.string()), ("split", pa.string())])
VG_CAPTIONS = pa.schema(
    [
        ("image", pa.binary()),
        ("caption", _TEXTS),
        ("width", _INTEGERS),
        ("height", _INTEGERS),
        ("x", _INTEGERS),
        ("y", _INTEGERS),
        ("image_id", pa.string()),
    ]
)


def _vqa(answers: pa.DataType, labels: pa.DataType, scores: pa.DataType) -> pa.Schema:
    return pa.schema(
        [
            ("image", pa.binary()),
            ("questions", _TEXTS),
            ("answers", pa.list_(answers)),
            ("answer_labels", pa.list_(labels)),
            ("answer_scores", pa.list_(scores)),
            ("image_id", pa.int64()),
            ("question_id", _INTEGERS),
            ("split", pa.string()),
        ]
    )


VQA = _vqa(_TEXTS, _INTEGERS, pa.list_(pa.float64()))
# The three answer columns of a test split hold an empty list in every row, so their items have no type.
VQA_TEST = _vqa(pa.null(), pa.null(), pa.null())
NLVR2 = pa.schema(
    [
        ("image_0", pa.binary()),
        ("image_1", pa.binary()),
        ("questions", _TEXTS),
        ("answers", _TEXTS),
        ("identifier", pa.string()),
    ]
)
# The original keeps the name of the image pair alone, but NLVR2's evaluation asks for that of each sentence.
NLVR2_WITH_SENTENCES = NLVR2.append(pa.field("identifiers", _TEXTS))
SNLI_VE = pa.schema([("image", pa.binary()), ("sentences", pa.list_(_TEXTS)), ("labels", _INTEGERS)])

#: The user's own identifier of each text, or of a picture without texts.
IDENTIFIERS = pa.field("identifiers", _TEXTS)
IMAGE_CLASSES = pa.schema([("image", pa.binary()), ("labels", _INTEGERS), IDENTIFIERS])
TEXT_CLASSES = pa.schema([("sentences", pa.list_(_TEXTS)), ("labels", _INTEGERS), IDENTIFIERS])

FAMILIES: dict[str, pa.Schema] = {
    "captions": CAPTIONS,
    "VG captions": VG_CAPTIONS,
    "VQA": VQA,
    "VQA test": VQA_TEST,
    "NLVR2": NLVR2,
    "SNLI-VE": SNLI_VE,
    "image classes": IMAGE_CLASSES,
    "text classes": TEXT_CLASSES,
}
# The column with the texts, whichever of these a file has.
TEXT_COLUMNS = ("caption", "questions", "sentences")


def image_columns(schema: pa.Schema) -> list[str]:
    """Names of the columns that hold encoded images, in order."""
    return [field.name for field in schema if field.type in (pa.binary(), pa.large_binary())]
