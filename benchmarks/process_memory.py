"""Reads what the processes of a stack hold in memory."""

from pathlib import Path

from benchmarks.local_stack import parent_of


def memory(root: int) -> dict[str, tuple[float, float]]:
    """Returns what a process and its offspring hold alone and map, in MiB, by what they are."""
    found: dict[str, tuple[float, float]] = {}
    for pid, chain in offspring(root).items():
        # The processes right below the root have the names of the services.
        owner = chain[-2] if len(chain) > 1 else root
        name = _name(owner) if owner != root else "up"
        if len(chain) > 2:
            name += "'s workers"
        alone, mapped = found.get(name, (0.0, 0.0))
        more_alone, more_mapped = _memory_of(pid)
        found[name] = alone + more_alone, mapped + more_mapped
    return found


def offspring(root: int) -> dict[int, list[int]]:
    """Returns a process and all below it, each with those between it and the root, inclusive."""
    found: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        chain = [int(folder.name)]
        while chain[-1] != root and (parent := parent_of(chain[-1])):
            chain.append(parent)
        if chain[-1] == root:
            found[chain[0]] = chain
    return found


def _name(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return next((word for word in words if word.startswith("tweezer.")), words[0])


def _memory_of(pid: int) -> tuple[float, float]:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has just ended
        return 0.0, 0.0
    sizes = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines[1:]}
    return sizes["Private_Clean"] + sizes["Private_Dirty"], sizes["Rss"]
