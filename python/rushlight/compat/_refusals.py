"""Names of sentence-transformers that rushlight lacks, with the reasons.

`docs/hooks.py` puts the table into the page *From sentence-transformers*. This file imports nothing of rushlight, so
that it runs where rushlight is not built.
"""

from __future__ import annotations

from typing import NamedTuple

_KINDS = ("SentenceTransformer", "CrossEncoder", "SparseEncoder", "MultiVectorEncoder")


class Refusal(NamedTuple):
    """Names with one reason in common, separated by spaces."""

    reason: str
    # Members of models.
    members: str = ""
    # Functions, classes and modules, in any module.
    names: str = ""
    # Members of tokenizers.
    tokenizer: str = ""


NO_MODULE = "a rushlight model is not a torch module, and its parts and weights are not exposed"
REFUSALS = (
    Refusal(
        "rushlight does not train: train with sentence-transformers, and load the saved model here",
        "fit old_fit smart_batching_collate smart_batching_collate_text_only gradient_checkpointing_enable"
        " get_sentence_features merge zero_grad",
        " ".join(f"{kind}{part}" for kind in _KINDS for part in ("Trainer", "TrainingArguments", "DataCollator"))
        + " BaseDataCollator BaseTrainer BaseTrainingArguments BatchSamplers DefaultBatchSampler"
        " GroupByLabelBatchSampler InputExample MultiDatasetBatchSamplers MultiDatasetDefaultBatchSampler"
        " NoDuplicatesBatchSampler ParallelSentencesDataset ProportionalBatchSampler RoundRobinBatchSampler"
        " SentencesDataset callbacks check_teacher_targets data_collator datasets fit_mixin hard_negatives losses"
        " mine_hard_negatives merging readers resolve_ids sampler trainer training_args",
    ),
    Refusal(
        NO_MODULE,
        "add_module append apply buffers children clear_placement_cache config extend forward get_parameter"
        " get_submodule insert load_state_dict model modules named_buffers named_modules named_parameters parameters"
        " pop processor register_forward_hook register_module state_dict transformers_model",
        "BaseModel model",
    ),
    Refusal(
        "rushlight merges the adapters of a folder when it loads it; rushlight.Model takes several, as adapters=",
        "active_adapter active_adapters add_adapter check_peft_compatible_model delete_adapter disable_adapters"
        " enable_adapters get_adapter_state_dict has_peft_compatible_model load_adapter set_adapter",
        "PeftAdapterMixin peft_mixin",
    ),
    Refusal(
        "rushlight uploads nothing: pass a folder from save_pretrained to huggingface_hub.upload_folder",
        "push_to_hub save_to_hub",
    ),
    Refusal(
        "rushlight writes no model cards",
        "model_card_data_class",
        " ".join(f"{kind}ModelCardData" for kind in _KINDS)
        + " deprecated_model_card_templates model_card model_card_templates",
    ),
    Refusal(
        "rushlight has one backend, its own, and exports to no other engine",
        "backend",
        "backend export_dynamic_quantized_onnx_model export_optimized_onnx_model"
        " export_static_quantized_openvino_model",
    ),
    Refusal(
        "only SentenceTransformer can change pooling; memory is bounded without a chunk size",
        "set_pooling_include_prompt splade_pooling_chunk_size",
    ),
    Refusal(
        "the model's folder defines its modules; rushlight.Model.from_backbone builds a model from parts",
        names="ModalityParams PhraseTokenizer ProcessingKwargs QueryExpansionConfig WhitespaceTokenizer WordTokenizer"
        " modules tokenizer",
    ),
    Refusal(
        "it evaluates a classifier in training, by its batches; CrossEncoderClassificationEvaluator evaluates a saved"
        " one",
        names="LabelAccuracyEvaluator label_accuracy",
    ),
    Refusal(
        "it scores batches for losses; util.maxsim and util.maxsim_pairwise score embeddings",
        names="scoring",
    ),
    Refusal("it draws on images, and MultiVectorModel embeds text", names="interpretability"),
    Refusal(
        "use get_vocab for all tokens, and cls_token and the like for special tokens",
        tokenizer="added_tokens_decoder added_tokens_encoder all_special_ids all_special_tokens"
        " convert_tokens_to_string get_added_vocab get_special_tokens_mask special_tokens_map",
    ),
    Refusal("the vocabulary is fixed", tokenizer="add_special_tokens add_tokens train_new_from_iterator"),
    Refusal("save the model, which includes its tokenizer", tokenizer="push_to_hub save_pretrained"),
    Refusal("rushlight has no chat templates", tokenizer="apply_chat_template chat_template"),
    Refusal("the tokenizer is rushlight's own", tokenizer="backend_tokenizer"),
    Refusal("call the tokenizer with the texts and padding=True", tokenizer="pad"),
    Refusal(
        "it is a tool of sentence-transformers' own code, and not part of inference",
        # `util` is the module of `cross_encoder`.
        names="ORIGINAL_TRANSFORMER_MODELS TRANSFORMER_TASK_DEFAULTS all_gather all_gather_padded all_gather_with_grad"
        " append_to_last_row cat_padded_token_embeddings dataset decorators disable_datasets_caching distributed"
        " get_rank get_world_size import_module_class install_logger is_dist_initialized modality modality_types"
        " repad_flattened_features save_to_hub_args_decorator set_temporary_class_attrs stack_padded_token_embeddings"
        " suggest_extra_on_exception util _chunk_ranges _convert_legacy_pooling_kwargs _convert_to_batch"
        " _convert_to_batch_tensor _convert_to_tensor _count_media_per_sample _move_tensors_to_cpu",
    ),
)


def table() -> str:
    """Return the refusals as a Markdown table of names and reasons, without private names."""
    rows = []
    for refusal in REFUSALS:
        kinds = [
            ("members of models", refusal.members),
            ("functions, classes and modules", refusal.names),
            ("members of `tokenizer`", refusal.tokenizer),
        ]
        named = [(kind, [f"`{name}`" for name in names.split() if name[0] != "_"]) for kind, names in kinds]
        cell = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in named if names)
        rows.append(f"| {cell} | {refusal.reason} |")
    return "\n".join(["| names | reason, and what to use instead |", "|---|---|", *rows])
