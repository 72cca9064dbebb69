"""Take over what sentence-transformers' evaluators return, with the small models that they were called with.

    cd tests; python -m generator.evaluation FOLDER

FOLDER has `evaluation`, a JSON file for each case, and `tiny`, a folder for each model.
"""

import argparse
import json
import shutil
from pathlib import Path

from . import storage

TARGET = storage.DATA / "evaluation"


def take(folder):
    """Copy all cases without line breaks, and their models."""
    shutil.rmtree(TARGET, ignore_errors=True)
    (TARGET / "cases").mkdir(parents=True)
    models = set()
    for file in sorted((folder / "evaluation").glob("*.json")):
        case = storage.read_json(file)
        models.add(case["model"])
        (TARGET / "cases" / file.name).write_text(json.dumps(case) + "\n", encoding="utf-8")
    for name in sorted(models):
        source = folder / "tiny" / name / "model"
        shutil.copytree(
            source, TARGET / name, ignore=shutil.ignore_patterns("README.md"), copy_function=shutil.copyfile
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    take(parser.parse_args().folder)


if __name__ == "__main__":
    main()
