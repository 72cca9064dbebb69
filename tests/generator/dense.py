"""Models of sentence embeddings: `tiny/`, and the expected numbers of the real ones in `real/`."""

from dataclasses import dataclass, field

import numpy as np
import transformers as tf
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Transformer

from .files import backbone, emptied, save, write_case
from .storage import DATA, read_json
from .texts import TEXTS
from .weights import seed


@dataclass
class Dense:
    """A transformer's config, its vocabulary, the modules behind it, and options of `SentenceTransformer`."""

    config: tf.PretrainedConfig
    vocabulary: str
    modules: list
    max_seq_length: int | None = 64
    options: dict = field(default_factory=dict)
    model_max_length: int | None = None

    def make(self, name):
        folder = emptied("tiny", name)
        network = tf.AutoModel.from_config(self.config)
        modules = [seed(module) for module in self.modules]
        # Some modules read what every layer gives.
        layers = {"output_hidden_states": True} if "Layer" in type(modules[0]).__name__ else {}
        with backbone(network, self.vocabulary, self.model_max_length) as work:
            transformer = Transformer(work, max_seq_length=self.max_seq_length, config_kwargs=layers)
            save(SentenceTransformer(modules=[transformer, *modules], device="cpu", **self.options), folder)
        expect(folder, SentenceTransformer(str(folder / "model"), device="cpu"), TEXTS, self.config.model_type)


def expect(folder, model, texts, model_type):
    """Write what a model makes of texts: token ids after truncation, and embeddings."""
    ids = [np.asarray(model.preprocess([text])["input_ids"]).reshape(-1).tolist() for text in texts]
    folder.joinpath("token_ids.json").write_text(str(ids).replace("], [", "],\n[") + "\n", encoding="utf-8")
    single = model.encode(texts, batch_size=1)
    double = model.double().encode(texts, batch_size=1).astype(np.float64)
    length = None if model.max_seq_length in {None, float("inf")} else model.max_seq_length
    error = float(np.abs(single - double).max())
    meta = {"model_type": model_type, "max_seq_length": length, "float32_vs_float64_max_abs": error}
    write_case(folder, texts, double, meta)


def real(name, model):
    """Compute anew what a real model, which a folder outside has, makes of the texts that are there."""
    folder = DATA / "real" / name
    model = SentenceTransformer(str(model), device="cpu")
    expect(folder, model, read_json(folder / "texts.json"), model[0].auto_model.config.model_type)
    # Half the size, and far below the tolerance.
    expected = folder / "expected64.npy"
    np.save(expected, np.load(expected).astype(np.float32))
