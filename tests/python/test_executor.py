"""Threads of the process: few, shared by all calls, and never in the way of signal handlers, forks and the end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cases import tiny

FOLDER = tiny("bert-mean-normalize").model
PROGRAM = f"""
import os, random, resource, signal, sys, threading, time
import numpy as np
import rushlight
from rushlight import Model, util
model = Model({str(FOLDER)!r})
texts = [f"lamp {{i}} and so on" for i in range(2000)]
expected = model.encode(texts[:20])
rows = np.random.default_rng(0).random((2000, 64), np.float32)
"""


def run(program: str, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM + program, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="has no count of its threads")
def test_many_callers_share_workers() -> None:
    done = run("""
rushlight.set_num_threads(16)
over, most = False, 0
def status():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Threads"))
before = status()
def watch():
    global most
    while not over:
        most = max(most, status())
        time.sleep(0.0005)
watcher = threading.Thread(target=watch)
watcher.start()
def work(i):
    for _ in range(10):
        (lambda: model.encode("lamp " * 300), lambda: model.encode(texts[:300]), lambda: util.cos_sim(rows, rows))[i]()
callers = [threading.Thread(target=work, args=(i % 3,)) for i in range(16)]
for caller in callers:
    caller.start()
for caller in callers:
    caller.join()
over = True
watcher.join()
print(most - before)
""")
    # 16 callers, 16 workers, the watcher.
    assert int(done.stdout) <= 33, done


@pytest.mark.skipif(not hasattr(__import__("signal"), "setitimer"), reason="has no timers that signal")
@pytest.mark.parametrize(("threads", "nested", "others"), [(1, 1, 0), (2, 3, 0), (3, 2, 6)])
def test_signal_handlers_may_embed(threads: int, nested: int, others: int) -> None:
    done = run(
        """
threads, nested, others = map(int, sys.argv[1:])
rushlight.set_num_threads(threads)
over, depth, deepest, right = False, 0, 0, True
def work():
    while not over:
        model.encode(texts[:50])
callers = [threading.Thread(target=work) for _ in range(others)]
for caller in callers:
    caller.start()
def handler(*_):
    global depth, deepest, right
    depth += 1
    deepest = max(deepest, depth)
    if depth < nested:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        while deepest < nested:
            model.encode(texts)
    right = right and np.array_equal(model.encode(texts[:20]), expected)
    depth -= 1
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.01)
while deepest < nested:
    model.encode(texts)
over = True
for caller in callers:
    caller.join()
print(deepest, right)
""",
        *map(str, (threads, nested, others)),
    )
    assert done.stdout == f"{nested} True\n", done


def test_whoever_is_told_of_progress_may_embed() -> None:
    done = run("""
rushlight.set_num_threads(1)
seen = []
class Embedding:
    def write(self, text):
        seen.append(np.array_equal(model.encode(texts[:20], show_progress_bar=False), expected))
    def flush(self):
        pass
sys.stderr = Embedding()
model.encode(texts, show_progress_bar=True)
print(len(seen) > 0, all(seen))
""")
    assert done.stdout == "True True\n", done


@pytest.mark.parametrize("kind", ["plain", "bar", "similarity"])
def test_python_ends_while_daemon_threads_compute(kind: str) -> None:
    for _ in range(4):
        done = run(
            """
def work():
    while True:
        if sys.argv[1] == "similarity":
            util.cos_sim(rows, rows)
        else:
            model.encode(texts, show_progress_bar=sys.argv[1] == "bar")
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(random.random() * 0.2)
""",
            kind,
        )
        assert done.returncode == 0, done
        assert not any(word in done.stderr for word in ("panicked", "Fatal")), done


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, who may become nobody")
def test_the_caller_does_the_work_where_no_thread_can_be_started() -> None:
    done = run(
        """
import importlib.metadata, tempfile, tqdm, rushlight._wheels
from rushlight.exceptions import RushlightError
rushlight.set_num_threads(4)
long = "lamp " * 300_000
right = model.encode(long)
os.setgid(65534)
os.setuid(65534)
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
try:
    threading.Thread(target=print).start()
    print("a thread could be started")
except RuntimeError:
    pass
again = Model(FOLDER).encode(texts[:20]) if os.access(FOLDER, os.R_OK) else expected
stream = np.concatenate(list(model.encode_iter(texts[:20], chunk_size=7)))
print([np.array_equal(a, expected) for a in (model.encode(texts[:20]), again, stream)])
print(np.array_equal(model.encode(long), right), model.count_tokens([long])[0] > 300_000)
print(np.allclose(util.cos_sim(rows, rows).diagonal(), 1, atol=1e-5))
os.environ.pop("HF_HUB_OFFLINE", None)
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
try:
    Model("org/m", cache_folder=tempfile.mkdtemp())
except RushlightError as error:
    print(type(error).__name__)
""".replace("FOLDER", repr(str(FOLDER)))
    )
    assert done.stdout == "[True, True, True]\nTrue True\nTrue\nDownloadError\n", done


@pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")
def test_a_fork_within_a_call_does_not_hang_in_the_child() -> None:
    done = run("""
rushlight.set_num_threads(3)
children, child = [], False
def handler(*_):
    global child
    pid = os.fork()
    if pid == 0:
        child = True
    else:
        children.append(pid)
signal.signal(signal.SIGALRM, handler)
while not children:
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        result = model.encode(texts)
        said = "whole" if len(result) == len(texts) else "cut"
    except rushlight.exceptions.InferenceError as error:
        said = "forked" if "forked" in str(error) else str(error)
    if child:
        right = np.array_equal(model.encode(texts[:20]), expected)
        os._exit(0 if right and said in ("whole", "forked") else 1)
signal.setitimer(signal.ITIMER_REAL, 0)
print(said, [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children])
""")
    assert done.stdout == "whole [0]\n", done
