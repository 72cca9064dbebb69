"""`rushlight.compat.install()`: `import sentence_transformers` gives `rushlight.compat`."""

from __future__ import annotations

import subprocess
import sys

from cases import tiny


def run(code: str, *, older: bool = False) -> str:
    """Run code where warnings are errors, except, if `older` is True, those about older paths."""
    options = ["-W", "error", *(["-W", "ignore:Importing from"] if older else [])]
    done = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_answers_every_path_of_inference():
    code = f"""if True:
        import importlib.util
        import rushlight.compat
        if importlib.util.find_spec("sentence_transformers") is None:
            try:
                import sentence_transformers
            except ModuleNotFoundError as error:
                assert error.name == "sentence_transformers"
        rushlight.compat.install()
        rushlight.compat.install()
        import sentence_transformers
        import sentence_transformers.util as util
        from sentence_transformers import CrossEncoder, SentenceTransformer, models
        from sentence_transformers.SentenceTransformer import SentenceTransformer as Older
        from sentence_transformers.evaluation import EmbeddingSimilarityEvaluator, SimilarityFunction
        from sentence_transformers.evaluation.EmbeddingSimilarityEvaluator import EmbeddingSimilarityEvaluator as Again
        from sentence_transformers.models import Pooling, StaticEmbedding
        from sentence_transformers.quantization import semantic_search_faiss
        from sentence_transformers.sparse_encoder.evaluation import SparseTripletEvaluator
        from sentence_transformers.util import cos_sim, http_get
        assert sentence_transformers is rushlight.compat
        assert SentenceTransformer is Older is rushlight.compat.SentenceTransformer
        assert Again is EmbeddingSimilarityEvaluator
        assert importlib.util.find_spec("sentence_transformers") is not None
        assert sentence_transformers.models.Pooling is Pooling
        print(SentenceTransformer({str(tiny("bert-mean-normalize").model)!r}).encode("a").shape)
    """
    assert run(code, older=True) == "(32,)\n"


def test_caches_of_imports_can_be_cleared():
    code = """if True:
        import importlib
        import rushlight.compat
        rushlight.compat.install()
        importlib.invalidate_caches()
    """
    run(code)


def test_older_paths_give_the_modules_of_today_with_a_warning():
    code = """if True:
        import importlib, sys, warnings
        import rushlight.compat
        from rushlight.compat.util.deprecated_import import DEPRECATED_MODULE_PATHS
        rushlight.compat.install()
        for older, path in DEPRECATED_MODULE_PATHS.items():
            parent, _, name = older.rpartition(".")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                package = importlib.import_module(parent)
            sys.modules.pop(older, None)  # the parent of another
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                module = importlib.import_module(older)
                assert module is importlib.import_module(path), older
            message = f"Importing from '{older}' is deprecated and will be removed in a future version. "
            assert [str(each.message) for each in caught] == [f"{message}Please use '{path}' instead."]
            assert caught[0].category is DeprecationWarning
            if name[0].isupper():
                assert isinstance(getattr(package, name), type)
        print(len(DEPRECATED_MODULE_PATHS))
    """
    assert int(run(code)) > 50


def test_names_of_training_say_that_they_are():
    code = """if True:
        import rushlight.compat
        rushlight.compat.install()
        for code in (
            "from sentence_transformers import SentenceTransformerTrainer",
            "from sentence_transformers import losses",
            "from sentence_transformers.losses import CosineSimilarityLoss",
            "import sentence_transformers.trainer",
            "from sentence_transformers.evaluation import LabelAccuracyEvaluator",
        ):
            try:
                exec(code)
            except ImportError as error:
                assert isinstance(error, NotImplementedError)
                assert "train" in str(error), error
            else:
                raise AssertionError(code)
        try:
            import sentence_transformers.unheard
        except ModuleNotFoundError as error:
            print(error)
    """
    assert run(code, older=True) == "No module named 'sentence_transformers.unheard'\n"


def test_it_refuses_if_sentence_transformers_is_imported():
    code = """if True:
        import sys, types
        sys.modules["sentence_transformers"] = types.ModuleType("sentence_transformers")
        import rushlight.compat
        from rushlight.exceptions import UnsupportedFeatureError
        try:
            rushlight.compat.install()
        except UnsupportedFeatureError as error:
            print(error)
        assert sys.modules["sentence_transformers"] is not rushlight.compat
    """
    assert "sentence_transformers: is imported already" in run(code)


def test_nothing_is_registered_without_it():
    code = "import sys, rushlight.compat; print([name for name in sys.modules if name.startswith('sentence_')])"
    assert run(code) == "[]\n"
