"""Secret keys that our processes have in common: given by a setting, or made in the data folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from tweezer.process.run import StartFailed
from tweezer.rpc.service_key import ensure_service_key, read_service_key

#: As many characters as no key of ours has fewer.
LEAST_CHARACTERS: Final = 32


@dataclass(frozen=True, slots=True)
class SharedKey:
    """Where a key comes from.

    One that is given is only ever read, so that replicas on several machines can have the same from
    a store of secrets. It may be several, apart by blanks or lines: the first one is used, and what
    was made with the others is still accepted.
    """

    setting: str
    """The variable that gives it; that of the file ends with _FILE."""
    content: SecretStr | None
    file: Path
    file_given: bool
    """Whether a setting names the file; otherwise it is ours to make."""

    def read(self) -> tuple[str, ...]:
        """Returns the keys, the one to use first."""
        if self.content is not None and self.file_given:
            raise StartFailed(f"give either {self.setting} or {self.setting}_FILE, not both")
        if self.content is not None:
            return self._parsed(self.content.get_secret_value(), self.setting)
        if self.file_given:
            return self._parsed(read_given(self.file, self.setting), str(self.file))
        ensure_service_key(self.file)
        return (read_service_key(self.file),)

    def _parsed(self, text: str, where: str) -> tuple[str, ...]:
        keys = tuple(text.split())
        if not keys or any(len(key) < LEAST_CHARACTERS for key in keys):
            raise StartFailed(
                f"{where} must hold a key of at least {LEAST_CHARACTERS} random characters, "
                "or several, one a line"
            )
        return keys


def read_given(file: Path, setting: str) -> str:
    """Returns the text of a file that a setting names, or raises StartFailed."""
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise StartFailed(f"cannot read {file}, which {setting}_FILE names: {reason}") from None


def in_key_folder(name: str) -> Callable[[dict[str, Any]], Path]:
    """Returns what says where a key is, unless a setting says it: in the data folder."""

    def place(known: dict[str, Any]) -> Path:
        # Where the data folder itself is wrong, that is what the operator hears of.
        return Path(known.get("data_dir", "")) / "keys" / name

    return place
