"""What fuzzing came to: a record that adds up sessions, and its part of ``results/robustness/README.md``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from limits import MEMORY, SECONDS

from nprnn.bench import make_record, write_record
from nprnn.bench.records import read_record
from nprnn.reporting.summary import put_part

HERE = Path(__file__).resolve().parent
RECORD = HERE.parent / "results" / "robustness" / "fuzz.json"
PAGE = RECORD.with_name("README.md")
_ABOUT = {
    "idx": "IDX files, raw and gzipped, alone and as a set of four",
    "npz": "`.npz` of sequences and of quantised features",
    "csv": "CSV files of sequences and their `index.csv`",
    "index": "`index.csv` of videos, class lists, split lists, remarks",
    "config": "run folders with checkpoints, sweep files, experiments and their records, feature stores, measurements",
}


def keep(reader: str, session: Mapping[str, float]) -> None:
    """Add a session to the record, and write the page anew."""
    readers: dict[str, Any] = read_record(RECORD)["readers"] if RECORD.exists() else {}
    before = readers.get(reader, {"executions": 0, "seconds": 0, "sessions": 0})
    corpus = [path.stat().st_size for path in (HERE / "corpus" / reader).iterdir()]
    readers[reader] = {
        "executions": before["executions"] + session["executions"],
        "seconds": before["seconds"] + session["seconds"],
        "sessions": before["sessions"] + 1,
        "edges": session["edges"],
        "features": session["features"],
        "corpus_files": len(corpus),
        "corpus_bytes": sum(corpus),
        "findings": len(list((HERE / "findings" / reader).iterdir())),
    }
    command = ["python", "fuzz/readers.py", *sys.argv[1:]]
    limits = {"seconds": SECONDS, "bytes": MEMORY}
    record = make_record("fuzz", command, 1, limits=limits, atheris=version("atheris"), readers=readers)
    write_record(RECORD, record)
    put_page(record)


def put_page(record: Mapping[str, Any]) -> None:
    """Write the part of the page that is between ``<!-- fuzz -->`` and ``<!-- /fuzz -->``."""
    put_part(PAGE, "fuzz", page(record), "# Broken and hostile input")


def page(record: Mapping[str, Any]) -> str:
    """What the page says of the fuzzing."""
    readers, machine = record["readers"], record["machine"]
    totals = {key: sum(one[key] for one in readers.values()) for key in ("executions", "seconds", "findings")}
    lines = [
        "## Fuzzing",
        "",
        f"atheris {record['atheris']} put {totals['executions']:,} inputs through the readers in "
        f"{totals['seconds'] / 60:.0f} minutes, one process at a time ({machine['processor']}, {machine['cores']} "
        f"cores; their load at the end was {machine['load']:.1f}). An input is a finding if anything but an error of "
        f"`nprnn.errors` comes out, if it takes more than {record['limits']['seconds']} seconds, or if it adds more "
        f"than {record['limits']['bytes'] >> 20} MiB of address space. Findings are kept in `fuzz/findings`, a file "
        "for each place that raised; `tests/test_fuzz_corpus.py` puts them and the corpus through the readers in every "
        "`make test`, which fails where one is not mended. Edges are those of the Python code that were reached; "
        "features count how often too.",
        "",
        "| reader | what is read | inputs | seconds | edges | features | corpus | findings |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, about in _ABOUT.items():
        if one := readers.get(name):
            corpus = f"{one['corpus_files']} files, {one['corpus_bytes'] / 1000:.0f} kB"
            lines.append(
                f"| {name} | {about} | {one['executions']:,} | {one['seconds']:,} | {one['edges']:,} | "
                f"{one['features']:,} | {corpus} | {one['findings']} |"
            )
    again = "pip install -c constraints.txt -e '.[fuzz]' && python fuzz/readers.py all --seconds 3600"
    lines += ["", f"Once more, to be added to `fuzz.json`: `{again}`"]
    return "\n".join(lines)


if __name__ == "__main__":
    put_page(json.loads(RECORD.read_text()))
