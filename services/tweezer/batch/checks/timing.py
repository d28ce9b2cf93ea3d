"""Which variables of a sequence have a say in how long it lasts."""

from typing import Any, Final

#: Entries that give a height and no length, by what they belong to. All others count: blackman_max
#: takes as long as its area needs, and a change of phase may need a pause.
_HEIGHTS: Final = frozenset(
    {
        ("constant", "value"),
        ("ramp", "start"),
        ("ramp", "stop"),
        ("interpolated", "values"),
        ("blackman", "area"),
        ("kaiser", "area"),
        ("pulse", "post_phase_shift"),
    }
)


def timed_by(operations: Any) -> list[str]:
    """Returns the variables in Pulser's abstract operations that may change the duration."""
    found: set[str] = set()
    waiting = [operations]  # not by recursion: expressions are as deep as their author likes
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, dict):
            name, kind = item.get("variable"), item.get("kind", item.get("op"))
            if isinstance(name, str):
                found.add(name)
            waiting.extend(part for key, part in item.items() if not _is_height(kind, key))
    return sorted(found)


def _is_height(kind: Any, key: str) -> bool:
    return isinstance(kind, str) and (kind, key) in _HEIGHTS
