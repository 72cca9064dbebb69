"""Make the models of the tests with sentence-transformers, and what it computes for them.

    cd tests; python -m generator [--real MODELS] [NAME ...]

Makes the cases named, or all, in place. With --real it computes the expected numbers of the real models in a folder.
"""

import argparse
import os
from functools import partial
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

from . import dense, multi_vector, rerank, rewritten, sparse, static, storage
from .dense_cases import DENSE

# Rewritten cases come last: they are made of others.
CASES = {
    **{name: partial(case.make, name) for name, case in DENSE.items()},
    **{name: partial(make, name) for name, make in static.STATIC.items()},
    **{name: partial(rerank.rerank, name) for name in rerank.CASES},
    **{name: partial(sparse.sparse, name) for name in sparse.CASES},
    **{name: partial(multi_vector.multi_vector, name) for name in multi_vector.LAYOUTS},
    **{name: partial(rewritten.rewritten, name) for name in rewritten.CASES},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a case; all of the small models, if none is named")
    parser.add_argument("--real", type=Path, metavar="MODELS", help="the folder of the real models: only those are run")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(CASES):
        parser.error(f"no such cases: {', '.join(sorted(unknown))}")
    storage.unpack(storage.DATA)
    if arguments.real:
        for folder in sorted(storage.DATA.glob("real/*")):
            dense.real(folder.name, arguments.real / folder.name)
    else:
        for name in arguments.names or CASES:
            CASES[name]()
    storage.pack()


main()
