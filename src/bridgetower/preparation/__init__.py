"""Raw data to arrow files; `python -m bridgetower.preparation --help` is the command line."""

from .check import FileReport, check_file
from .images import ImageReader
from .published import DATA_SETS, DataSet
from .tables import PreparationError, Row, Settings, Table
from .train_tokenizer import prepare_tokenizer
from .writer import Written, arrow_file, write_table

__all__ = [
    "DATA_SETS",
    "DataSet",
    "FileReport",
    "ImageReader",
    "PreparationError",
    "Row",
    "Settings",
    "Table",
    "Written",
    "arrow_file",
    "check_file",
    "prepare_tokenizer",
    "write_table",
]
