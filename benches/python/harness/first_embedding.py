"""A process that ends when it has its first embedding: `first_embedding.py PEER MODEL THREADS [KEY=VALUE ...]`.

It imports next to nothing of its own: all of its time is the contender's.
"""

import sys

sys.path[0] = sys.path[0].rpartition("/harness")[0]  # in place of this folder, whose files are named like packages

name, model, threads, *words = sys.argv[1:]
peer = getattr(__import__(f"harness.peers.{name}").peers, name)
encode = peer.load(model, threads, **dict(word.split("=", 1) for word in words))
encode(["How quickly does it start?"])
sys.stdout.write("embedded\n")
sys.stdout.flush()
