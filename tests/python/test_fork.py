"""Processes that fork: the child computes with threads of its own, whatever its parent was doing."""

from __future__ import annotations

import subprocess
import sys

import pytest
from cases import tiny

pytestmark = pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="has no fork")

FOLDER = tiny("bert-mean-normalize").model

# In a process of its own: forking pytest with its threads would be another test.
BUSY = f"""
import os, signal, threading, time, warnings
import numpy as np
import rushlight
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
rushlight.set_num_threads(3)
model = rushlight.Model({str(FOLDER)!r})
texts = [f"text {{i}}" for i in range(20)]
expected = model.encode(texts)
over = False
def compute():
    while not over:
        model.encode(texts[:5])
        rushlight.get_num_threads()
threads = [threading.Thread(target=compute) for _ in range(4)]
for thread in threads:
    thread.start()
good = 0
for _ in range(100):
    child = os.fork()
    if child == 0:
        right = rushlight.get_num_threads() == 3 and np.array_equal(model.encode(texts), expected)
        os._exit(0 if right else 1)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            good += os.waitstatus_to_exitcode(status) == 0
            break
        time.sleep(0.001)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
over = True
for thread in threads:
    thread.join()
print(good, np.array_equal(model.encode(texts), expected))
"""


def test_a_child_computes_while_its_parent_does() -> None:
    done = subprocess.run([sys.executable, "-c", BUSY], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "100 True\n", done


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(tmp_path, method: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(f"""
import multiprocessing, warnings
import numpy as np
from rushlight import Model

def work(arguments):
    model, texts = arguments
    return model.encode(texts)

if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)
    model = Model({str(FOLDER)!r})
    texts = [f"text {{i}}" for i in range(20)]
    expected = model.encode(texts)
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        parts = pool.map(work, [(model, texts[:10]), (model, texts[10:])])
    print(np.array_equal(np.concatenate(parts), expected))
""")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "True\n", done
