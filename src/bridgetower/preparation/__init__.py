"""Raw data to arrow files; `python -m bridgetower.preparation --help` is the command line."""

from bridgetower.preparation.check import FileReport, check_file
from bridgetower.preparation.data_sets import DATA_SETS, DataSet
from bridgetower.preparation.images import ImageReader
from bridgetower.preparation.tables import PreparationError, Row, Settings, Table
from bridgetower.preparation.train_tokenizer import prepare_tokenizer
from bridgetower.preparation.writer import Written, arrow_file, write_table

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
