"""Expected numbers that a case has in npz archives, in the forms that tests in Rust read: npy, and lists in JSON."""

import numpy as np

from .storage import read_json, write_json

# Entries of meta.json that `convert` adds, and others that tests read.
META = ["lengths", "tasks", "unk_token_id", "max_length"]
# Score of a document without tokens.
NO_TOKENS = -1e9


def convert(source, target):
    """Convert the archives of the case `source`, and return entries of its meta.json."""
    meta = {}
    takers = {"colbert": _colbert, "sparse": _sparse, "max3": _most}
    for name, take in takers.items():
        file = source / f"expected_{name}.npz"
        if file.exists():
            meta |= take(np.load(file), target)
    if (source / "expected.npz").exists():
        meta |= _weights(np.load(source / "expected.npz"), target)
    if (source / "expected_query.npz").exists():
        _late_interaction(source, target)
    if not (source / "expected64.npy").exists() and (source / "expected.npy").exists():
        # model2vec computes in float32 alone.
        np.save(target / "expected64.npy", np.load(source / "expected.npy").astype(np.float64))
    if (source / "expected_st.npy").exists():
        np.save(target / "expected_st.npy", np.load(source / "expected_st.npy").astype(np.float32))
    scores = source / "expected_scores.json"
    if scores.exists():
        (target / scores.name).write_text(scores.read_text())
    return meta


def _colbert(archive, target):
    """Keep the vectors of all texts' tokens, and each text's number of vectors."""
    np.save(target / "expected64_colbert.npy", archive["values64"])
    return {"lengths": archive["lengths"].tolist()}


def _most(archive, target):
    """Keep the weights of a call that limits their number to three."""
    np.save(target / "expected64_max3.npy", archive["values"])
    return {}


def _weights(archive, target):
    """Keep the weights of documents, and those of queries if they have their own."""
    np.save(target / "expected64.npy", archive["values64"])
    if "query" in archive:
        np.save(target / "expected_query.npy", archive["query"])
    configs = [*target.glob("model/tokenizer_config.json"), *target.glob("model/document_0_*/tokenizer_config.json")]
    return {"max_seq_length": read_json(configs[0])["model_max_length"]}


def _late_interaction(source, target):
    """Keep the vectors of both sides, and compute the scores of the first queries."""
    sides = {}
    for kind in ["query", "document"]:
        archive = np.load(source / f"expected_{kind}.npz")
        lengths = archive["lengths"].tolist()
        write_json(target / f"{kind}_lengths.json", lengths)
        np.save(target / f"{kind}_values64.npy", archive["values64"])
        sides[kind] = np.split(archive["values64"], np.cumsum(lengths)[:-1])
    scores = [[_maxsim(query, document) for document in sides["document"]] for query in sides["query"][:12]]
    np.save(target / "maxsim.npy", np.array(scores))


def _maxsim(query, document):
    return (query @ document.T).max(axis=1).sum() if len(document) else NO_TOKENS


def _sparse(archive, target):
    """Write each text's ids and weights, in the order of ids."""
    rows = [[] for _ in range(archive["rows"].max() + 1)]
    for row, *entry in zip(
        archive["rows"].tolist(), archive["ids"].tolist(), archive["values64"].tolist(), strict=True
    ):
        rows[row].append(entry)
    write_json(target / "expected_sparse.json", [sorted(row) for row in rows])
    return {}
