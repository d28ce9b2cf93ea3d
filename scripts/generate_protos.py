"""Generates the Python code of every .proto file, or checks that it is up to date.

python scripts/generate_protos.py          # writes protos/_generated
python scripts/generate_protos.py --check  # exits 1 and names the files that differ
"""

import argparse
import filecmp
import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent.parent / "protos"
GENERATED = PROTOS / "_generated"


def generate(out: Path) -> None:
    """Runs protoc over every .proto file, writing under `out`."""
    sources = sorted(p for p in PROTOS.rglob("*.proto") if GENERATED not in p.parents)
    bin_dir = Path(sys.executable).parent
    well_known = resources.files("grpc_tools") / "_proto"
    code = protoc.main(
        [
            "protoc",
            f"--proto_path={PROTOS}",
            f"--proto_path={well_known}",
            f"--plugin=protoc-gen-mypy={bin_dir / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={bin_dir / 'protoc-gen-mypy_grpc'}",
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            f"--mypy_out=quiet,readable_stubs:{out}",
            f"--mypy_grpc_out=quiet,only_async:{out}",
            *(str(s.relative_to(PROTOS)) for s in sources),
        ]
    )
    if code:
        raise SystemExit(code)
    for package in {s.parent.relative_to(PROTOS) for s in sources}:
        (out / package / "py.typed").touch()
    for source in sources:
        if "\nservice " not in source.read_text():
            # protoc writes an empty module of stubs for files without a service.
            for suffix in ("_pb2_grpc.py", "_pb2_grpc.pyi"):
                stub = out / source.relative_to(PROTOS).with_suffix("")
                stub.with_name(stub.name + suffix).unlink(missing_ok=True)


def files(root: Path) -> set[Path]:
    """Lists the files below a folder, compiled ones aside."""
    return {p.relative_to(root) for p in root.rglob("*") if p.is_file() and p.suffix != ".pyc"}


def drift() -> list[Path]:
    """Names the files that a fresh run would add, change or remove."""
    with tempfile.TemporaryDirectory() as tmp:
        fresh = Path(tmp)
        generate(fresh)
        both = files(fresh) & files(GENERATED)
        changed = {p for p in both if not filecmp.cmp(fresh / p, GENERATED / p, shallow=False)}
        return sorted((files(fresh) ^ files(GENERATED)) | changed)


def main() -> int:
    """Generates, or checks when asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        stale = drift()
        for path in stale:
            print(f"{path} is out of date: run `make protos`", file=sys.stderr)
        return 1 if stale else 0
    shutil.rmtree(GENERATED, ignore_errors=True)
    GENERATED.mkdir()
    generate(GENERATED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
