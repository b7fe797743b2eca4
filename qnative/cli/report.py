"""``python -m qnative report model.pt2 --float float.pt2 --data x.pt -o report.html``"""

import argparse
import json
from pathlib import Path

from ..diagnosis import Diagnosis, diagnose
from ..diagnosis.times import read_times
from ..program import Program
from ..report import Report
from .inputs import read_inputs


def run(options: argparse.Namespace) -> int:
    if options.model is not None and not options.data:
        raise ValueError("qnative report: --float needs --data, which shows the error of each node")
    report = _report(options.file)
    batches = [tuple(read_inputs(path)) for path in options.data]
    diagnosis: Diagnosis | None = None
    if options.model is not None:
        diagnosis = diagnose(options.model, options.file, batches, tries=options.tries)
        print(diagnosis)
    times = read_times(options.file, batches[0]) if batches else None
    title = Path(options.file).name
    report.to_html(options.output, title=title, diagnosis=diagnosis, times=times)
    print(f"{options.output}: {report.summary()}")
    return 0


def _report(path: str) -> Report:
    stored = Program.load(path).metadata.get("report")
    if stored is None:
        raise ValueError(f"qnative report: {path} has no report: write it with qnative.save")
    return Report.from_json(json.dumps(stored))
