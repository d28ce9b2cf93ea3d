"""Where results are kept, seen past the service."""

from pathlib import Path
from typing import Any


class ResultFolder:
    """The folder of the results, seen past the service."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings: dict[str, Any] = {}

    def results(self) -> list[str]:
        return [str(path.relative_to(self.folder)) for path in self.folder.rglob("*.json")]

    def remove(self, key: str) -> None:
        (self.folder / key).unlink()


class ResultBucket:
    """The bucket of the results, seen past the service."""

    def __init__(self, bucket: Any) -> None:
        self.bucket = bucket
        self.settings = {"result_store_url": bucket.url}

    def results(self) -> list[str]:
        return self.bucket.results()

    def remove(self, key: str) -> None:
        self.bucket.remove(key)
