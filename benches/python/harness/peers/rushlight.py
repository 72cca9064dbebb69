"""rushlight, from the plain safetensors folder."""

PACKAGES = ("rushlight", "numpy")


def load(model: str, threads: str, max_seq_length: str = "", dtype: str = "float32") -> object:
    """Return `encode` of the model; the environment says how many threads there are."""
    from rushlight import Model

    loaded = Model(model, max_seq_length=int(max_seq_length) if max_seq_length else None, dtype=dtype)
    return loaded.encode
