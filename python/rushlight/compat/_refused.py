"""What sentence-transformers has and rushlight lacks, with the reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from rushlight.exceptions import UnsupportedFeatureError

if TYPE_CHECKING:
    from collections.abc import Callable

_TRAINING = "rushlight does not train: train with sentence-transformers, and load the saved model here"
NO_MODULE = "a model of rushlight is no torch module, and its parts and weights are not shown"
_ADAPTERS = "rushlight has no adapters: merge them with peft, save the model, and load it here"
_HUB = "rushlight uploads nothing: huggingface_hub.upload_folder does, with a folder from save_pretrained"
_CARDS = "rushlight writes no model cards"
_MODULES = "modules are what a model's folder says; rushlight.Model.from_backbone puts a model together"
_OTHER_ENGINES = "rushlight computes by itself, and exports to no other engine"
_INDEXES = "rushlight searches without an index: rushlight.util.semantic_search(corpus_precision=...) is exact"
_ENGINES = "rushlight asks no search engine: give its own client indices and values of a row of SparseEmbeddings"
_INTERNAL = "it is no part of inference, but a tool that sentence-transformers is made with"

_OF_MODELS = {
    **dict.fromkeys(
        (
            "fit",
            "old_fit",
            "smart_batching_collate",
            "smart_batching_collate_text_only",
            "gradient_checkpointing_enable",
            "get_sentence_features",
            "merge",
            "zero_grad",
        ),
        _TRAINING,
    ),
    **dict.fromkeys(
        (
            "append",
            "apply",
            "children",
            "clear_placement_cache",
            "config",
            "extend",
            "forward",
            "insert",
            "load_state_dict",
            "model",
            "modules",
            "named_children",
            "named_modules",
            "named_parameters",
            "parameters",
            "pop",
            "processor",
            "register_forward_hook",
            "state_dict",
            "transformers_model",
            "_first_module",
            "_last_module",
        ),
        NO_MODULE,
    ),
    **dict.fromkeys(
        (
            "active_adapter",
            "active_adapters",
            "add_adapter",
            "check_peft_compatible_model",
            "delete_adapter",
            "disable_adapters",
            "enable_adapters",
            "get_adapter_state_dict",
            "has_peft_compatible_model",
            "load_adapter",
            "set_adapter",
        ),
        _ADAPTERS,
    ),
    **dict.fromkeys(("push_to_hub", "save_to_hub"), _HUB),
    "backend": _OTHER_ENGINES,
    "model_card_data_class": _CARDS,
    **dict.fromkeys(
        ("set_pooling_include_prompt", "splade_pooling_chunk_size"),
        "pooling is as the model's folder says, in bounded memory",
    ),
}

_OF_TOKENIZERS = {
    **dict.fromkeys(
        (
            "added_tokens_decoder",
            "added_tokens_encoder",
            "all_special_ids",
            "all_special_tokens",
            "convert_tokens_to_string",
            "get_added_vocab",
            "get_special_tokens_mask",
            "special_tokens_map",
            "vocab",
        ),
        "get_vocab has all tokens, and cls_token and the like are the special ones",
    ),
    **dict.fromkeys(
        ("add_special_tokens", "add_tokens", "train_new_from_iterator"),
        "a model has the tokens that it was trained with",
    ),
    **dict.fromkeys(("push_to_hub", "save_pretrained"), "it is saved with its model"),
    **dict.fromkeys(("apply_chat_template", "chat_template"), "rushlight embeds texts, and no conversations"),
    "backend_tokenizer": "it is rushlight's own",
    "pad": "call the tokenizer with the texts and padding=True",
}

# Names of modules and in modules, wherever they are; `util` is that of `cross_encoder`.
_OF_PACKAGE = {
    **dict.fromkeys(
        (
            *(
                f"{kind}{part}"
                for kind in ("SentenceTransformer", "CrossEncoder", "SparseEncoder", "MultiVectorEncoder")
                for part in ("Trainer", "TrainingArguments", "DataCollator")
            ),
            "DefaultBatchSampler",
            "InputExample",
            "MultiDatasetDefaultBatchSampler",
            "ParallelSentencesDataset",
            "SentencesDataset",
            "callbacks",
            "check_teacher_targets",
            "data_collator",
            "datasets",
            "fit_mixin",
            "hard_negatives",
            "losses",
            "mine_hard_negatives",
            "readers",
            "resolve_ids",
            "sampler",
            "trainer",
            "training_args",
        ),
        _TRAINING,
    ),
    **dict.fromkeys(
        (
            *(
                f"{kind}ModelCardData"
                for kind in ("SentenceTransformer", "CrossEncoder", "SparseEncoder", "MultiVectorEncoder")
            ),
            "deprecated_model_card_templates",
            "model_card",
            "model_card_templates",
        ),
        _CARDS,
    ),
    **dict.fromkeys(
        (
            "backend",
            "export_dynamic_quantized_onnx_model",
            "export_optimized_onnx_model",
            "export_static_quantized_openvino_model",
        ),
        _OTHER_ENGINES,
    ),
    **dict.fromkeys(
        (
            "ORIGINAL_TRANSFORMER_MODELS",
            "all_gather",
            "all_gather_padded",
            "all_gather_with_grad",
            "append_to_last_row",
            "cat_padded_token_embeddings",
            "check_package_availability",
            "check_version_requirements",
            "compute_count_vector",
            "dataset",
            "decorators",
            "deprecated_import",
            "disable_datasets_caching",
            "disable_logging",
            "disabled_tqdm",
            "distributed",
            "environment",
            "file_io",
            "fullname",
            "get_device_name",
            "get_rank",
            "get_world_size",
            "http_get",
            "import_from_string",
            "import_module_class",
            "install_logger",
            "is_accelerate_available",
            "is_datasets_available",
            "is_dist_initialized",
            "is_sentence_transformer_model",
            "is_training_available",
            "load_dir_path",
            "load_file_path",
            "misc",
            "repad_flattened_features",
            "save_to_hub_args_decorator",
            "similarity_fct_name",
            "stack_padded_token_embeddings",
            "to_scipy_coo",
            "util",
            "_convert_to_batch",
            "_convert_to_batch_tensor",
            "_convert_to_tensor",
            "_move_tensors_to_cpu",
        ),
        _INTERNAL,
    ),
    **dict.fromkeys(("base", "models", "modules"), _MODULES),
    **dict.fromkeys(("semantic_search_faiss", "semantic_search_usearch"), _INDEXES),
    "evaluation": "evaluators are those of sentence-transformers, which take the models of rushlight.compat",
    "interpretability": "it draws on images, and rushlight embeds text",
    "peft_mixin": _ADAPTERS,
    "scoring": "it scores the batches of losses: util.maxsim and util.maxsim_pairwise score embeddings",
    "search_engines": _ENGINES,
}


# What of a tokenizer is set elsewhere.
_INSTEAD = {
    "model_max_length": "set max_seq_length of the model",
    "padding_side": "load the model with processor_kwargs={'padding_side': ...}, or give padding_side to the call",
}


class _AbsentMemberError(UnsupportedFeatureError, AttributeError):
    """So that `hasattr` says no."""


class _AbsentNameError(UnsupportedFeatureError, ModuleNotFoundError):
    """So that who imports may have something else instead."""


def refuse_member(kind: str, name: str) -> NoReturn:
    """Say why models of a kind have no such member."""
    _refuse_of(kind, _OF_MODELS, name)


def refuse_of_tokenizer(name: str) -> NoReturn:
    """Say why tokenizers have no such member."""
    _refuse_of("Tokenizer", _OF_TOKENIZERS, name)


def refuse_setting(name: str) -> NoReturn:
    """Say what to set instead of something of a tokenizer."""
    raise _AbsentMemberError(
        f"Tokenizer.{name}: it cannot be set; {_INSTEAD.get(name, 'a model has what its folder says')}"
    )


def _refuse_of(kind: str, reasons: dict[str, str], name: str) -> NoReturn:
    if name in reasons:
        raise _AbsentMemberError(f"{kind}.{name}: {reasons[name]}")
    raise AttributeError(f"{kind!r} object has no attribute {name!r}")


def refusing(module: str) -> Callable[[str], NoReturn]:
    """Return the `__getattr__` of a module, which says why it has no such name."""

    def refuse(name: str) -> NoReturn:
        # What a module has not is an AttributeError for Python, which an import would turn into one without a reason.
        _refuse(module, name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return refuse


class RefusingFinder:
    """Says why a module of sentence-transformers is not there: a finder of modules, to be asked last."""

    @staticmethod
    def find_spec(fullname: str, *_: object) -> None:
        """Raise UnsupportedFeatureError for a module that is refused."""
        module, name = fullname.rpartition(".")[::2]
        if f"{module}.".startswith("rushlight.compat."):
            _refuse(module, name)


def _refuse(module: str, name: str) -> None:
    if name in _OF_PACKAGE:
        raise _AbsentNameError(f"{module}.{name}: {_OF_PACKAGE[name]}")
