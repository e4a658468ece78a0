"""Files of a folder, or of a repository on the Hugging Face hub: only those that are needed are downloaded."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..sources import HUB_OPTIONS, READER_OPTIONS

__all__ = ["HUB_OPTIONS", "FileSource", "take_hub_options"]

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


class FileSource:
    """Where the files of a tokenizer or an image processor are.

    Attributes:
        name: what the caller gave: a folder, or `owner/name` of a repository on the hub.
        folder: the folder, or None for a repository.
        repository: its name on the hub.
    """

    def __init__(self, name: str | os.PathLike[str], needs: str, repository: str | None = None,
                 options: Mapping[str, Any] | None = None) -> None:
        """Tell a folder from a repository.

        Args:
            name: see the class; a folder comes first.
            needs: the files that a folder must hold, for messages.
            repository: of a name that is an abbreviation.
            options: a selection of `HUB_OPTIONS`.

        Raises:
            FileNotFoundError: neither a folder nor the form of a repository's name.
        """
        self.name, self.needs, self.options = str(name), needs, dict(options or {})
        path = Path(name).expanduser()
        self.folder: Path | None = path / self.options.get("subfolder", "") if path.is_dir() else None
        self.repository = repository or self.name
        if self.folder is None and repository is None and (path.exists() or not _REPOSITORY.fullmatch(self.name)):
            raise FileNotFoundError(f"{self.name!r} is neither a folder nor a name on the Hugging Face hub "
                                    f"(owner/name); pass a folder that holds {needs}")

    def __str__(self) -> str:
        return str(self.folder or self.repository)

    def find(self, file: str) -> Path | None:
        """The path of a file, downloaded if need be; None when there is no such file.

        Raises:
            FileNotFoundError: there is no such repository.
            ConnectionError: the download failed.
        """
        if self.folder is not None:
            return self.folder / file if (self.folder / file).is_file() else None
        import huggingface_hub  # slow to import, and only needed here
        from huggingface_hub import errors

        try:
            return Path(huggingface_hub.hf_hub_download(self.repository, file, **self.options))
        except errors.RepositoryNotFoundError as error:
            raise FileNotFoundError(f"the Hugging Face hub has no repository {self.repository!r} that you may read "
                                    f"({_reason(error)}); pass a folder that holds {self.needs}") from error
        except errors.LocalEntryNotFoundError as error:
            if self._is_known_to_be_absent(file):
                return None
            raise self._not_downloaded(file, error) from error
        except (errors.EntryNotFoundError, FileNotFoundError):
            return None
        except Exception as error:  # the client raises a dozen unrelated types for "no network"
            raise self._not_downloaded(file, error) from error

    def _is_known_to_be_absent(self, file: str) -> bool:
        """Whether a file that is not in the cache need not be asked for: offline on purpose, or absent last time."""
        import huggingface_hub

        if self.options.get("local_files_only") or huggingface_hub.constants.HF_HUB_OFFLINE:
            return True
        options = {name: self.options[name] for name in ("cache_dir", "revision") if name in self.options}
        path = str(Path(self.options.get("subfolder", "")) / file)
        cached = huggingface_hub.try_to_load_from_cache(self.repository, path, **options)
        return cached is not None and not isinstance(cached, str)

    def _not_downloaded(self, file: str, error: Exception) -> ConnectionError:
        return ConnectionError(f"cannot download {file} of {self.name!r} ({self.repository}): {_reason(error)}; "
                               f"without network pass a folder that holds {self.needs}")


def take_hub_options(options: dict[str, Any]) -> dict[str, Any]:
    """Remove `HUB_OPTIONS` and `READER_OPTIONS` from keyword arguments; returns those of the hub that say something."""
    for name in READER_OPTIONS:
        options.pop(name, None)
    given = {name: options.pop(name) for name in HUB_OPTIONS if name in options}
    return {name: value for name, value in given.items() if value is not None}


def _reason(error: Exception) -> str:
    first = str(error).strip().partition("\n")[0]
    return first.partition(". ")[0][:200].rstrip(".") or type(error).__name__
