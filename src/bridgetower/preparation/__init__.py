"""Raw data to arrow files; `python -m bridgetower.preparation --help` is the command line.

Names load on first use, so that a command that only prints its help starts without pyarrow.
"""

from __future__ import annotations

from ..lazy_exports import lazy_exports

__all__, __getattr__, __dir__ = lazy_exports(__name__, {
    "DATA_SETS": "published",
    "DataSet": "published",
    "FileReport": "check",
    "ImageReader": "images",
    "PreparationError": "tables",
    "Row": "tables",
    "Settings": "tables",
    "Table": "tables",
    "Written": "writer",
    "arrow_file": "writer",
    "check_file": "check",
    "prepare_tokenizer": "train_tokenizer",
    "write_table": "writer",
})
