"""Draws measured bitstrings as bars."""

from collections.abc import Collection, Mapping

from rich.bar import Bar
from rich.table import Table


def histogram(
    counter: Mapping[str, int],
    title: str,
    rows: int = 6,
    marked: Collection[str] = (),
    mark: str = "",
) -> Table:
    """Returns the most frequent bitstrings; those that are marked carry the mark."""
    shots = sum(counter.values())
    frequent = sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:rows]
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("state", no_wrap=True)
    table.add_column("shots", justify="right")
    table.add_column("share", justify="right")
    table.add_column("", width=30)
    table.add_column("")
    for bits, count in frequent:
        table.add_row(
            bits,
            str(count),
            f"{count / shots:.1%}",
            Bar(size=shots, begin=0, end=count, width=30),
            mark if bits in marked else "",
            style="green" if bits in marked else None,
        )
    rest = shots - sum(count for _, count in frequent)
    if rest:
        table.add_row("others", str(rest), f"{rest / shots:.1%}", "", "", style="dim")
    return table


def bar(share: float, width: int = 30) -> Bar:
    """Returns a bar that fills the given share of its width."""
    return Bar(size=1.0, begin=0.0, end=share, width=width)
