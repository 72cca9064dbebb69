//! Tests of wrong or unsupported configs of each family: each gives a typed error that names file and key.

use std::fs;

use crate::common::{copy, json, tiny};
use rushlight::{Error, Model};
use serde_json::{Value, json};

/// Returns the error of loading a case's model with changed keys in its `config.json`; null removes a key.
#[track_caller]
fn error(case: &str, changes: &Value) -> Error {
    let folder = tempfile::tempdir().unwrap();
    copy(&tiny(case).model, folder.path());
    let path = folder.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(config.as_object_mut().unwrap().remove(key)),
            value => config[key] = value.clone(),
        }
    }
    fs::write(&path, config.to_string()).unwrap();
    Model::from_dir(folder.path()).expect_err(&format!("{case} must not load with {changes}"))
}

const ELECTRA: &str = "electra-cls";
const ALBERT: &str = "albert-mean";
const NOMIC: &str = "nomic-bert-mean-normalize";
const NOMIC_HUB: &str = "hub-config-nomic-bert";
const NOMIC_EXPERTS: &str = "nomic-v2-moe";
const JINA_BERT: &str = "jina-v2-base-en";
const GTE: &str = "gte-cls-normalize";
const NEW: &str = "gte-new-base-en";
const NEW_LOGN: &str = "gte-new-logn-clip";
const NEW_ABSOLUTE: &str = "gte-new-absolute";
const SNOWFLAKE: &str = "gte-snowflake-m-v2";
const STELLA: &str = "gte-stella-400m";
const QWEN2_GTE: &str = "qwen2-both-ways-gte";
const VOYAGE: &str = "qwen3-both-ways-voyage";
const PPLX: &str = "qwen3-both-ways-pplx";
const LLAMA: &str = "llama-bidirec";
const JINA: &str = "jina-v3-mean-normalize";
const MODERNBERT: &str = "modernbert-mean";
const MODERNBERT_HUB: &str = "hub-config-modernbert";
const EUROBERT: &str = "eurobert-mean";
const QWEN3: &str = "qwen3-lasttoken-normalize";
const QWEN3_HUB: &str = "hub-config-qwen3";
const GEMMA: &str = "gemma-mean";
const GEMMA2: &str = "gemma2-lasttoken";
const MISTRAL: &str = "mistral-sliding-lasttoken";
const MINISTRAL3: &str = "ministral3-bidirectional-mean";
const LFM2: &str = "lfm2-lasttoken";
const EMBEDDING_GEMMA2: &str = "embeddinggemma2-text";
const EMBEDDING_GEMMA2_WHOLE: &str = "embeddinggemma2-composite-text-only";
const GEMMA3: &str = "gemma3-mean-dense2-normalize";
const T5: &str = "t5-mean-dense-normalize";
const DEBERTA: &str = "deberta-v2-mean";

#[test]
fn invalid_numbers_are_named_by_their_key() {
    let bad = [
        (ELECTRA, json!({ "num_attention_heads": 3 }), "num_attention_heads"),
        (ELECTRA, json!({ "embedding_size": 0 }), "embedding_size"),
        (ALBERT, json!({ "num_hidden_groups": 0 }), "num_hidden_groups"),
        (ALBERT, json!({ "num_hidden_groups": 3 }), "num_hidden_groups"),
        (ALBERT, json!({ "inner_group_num": 0 }), "inner_group_num"),
        (ALBERT, json!({ "num_hidden_layers": u64::MAX }), "num_hidden_layers"),
        (NOMIC, json!({ "num_attention_heads": 0 }), "num_attention_heads"),
        (NOMIC, json!({ "head_dim": 0 }), "head_dim"),
        (NOMIC, json!({ "head_dim": 7 }), "even"),
        (NOMIC, json!({ "rope_parameters": { "rope_theta": -1.0 } }), "rope_parameters.rope_theta"),
        (NOMIC, json!({ "rope_parameters": { "rope_theta": 1e-320 } }), "rope_parameters.rope_theta"),
        (NOMIC, json!({ "rope_parameters": { "rope_type": "linear", "factor": 1e-320 } }), "rope_parameters.factor"),
        (
            NOMIC,
            json!({ "rope_parameters": { "rope_type": "yarn", "factor": 4.0, "mscale": 1e308, "mscale_all_dim": 1.0 } }),
            "rope_parameters.mscale",
        ),
        (
            NOMIC,
            json!({ "rope_parameters": { "rope_type": "yarn", "factor": 4.0, "attention_factor": 1e30 } }),
            "rope_parameters.attention_factor",
        ),
        (NOMIC, json!({ "rope_parameters": { "rope_type": "linear" } }), "rope_parameters.factor"),
        (NOMIC, json!({ "rope_parameters": { "rope_type": "linear", "factor": 0 } }), "rope_parameters.factor"),
        (NOMIC_HUB, json!({ "n_head": 5 }), "n_head"),
        (NOMIC_HUB, json!({ "rotary_emb_fraction": 0.4 }), "rotary_emb_fraction"),
        (NOMIC_HUB, json!({ "n_inner": null }), "n_inner"),
        (NOMIC_EXPERTS, json!({ "moe_top_k": 9 }), "moe_top_k"),
        (NOMIC_EXPERTS, json!({ "moe_top_k": 0 }), "moe_top_k"),
        (NOMIC_EXPERTS, json!({ "num_experts": 0 }), "num_experts"),
        (NOMIC_EXPERTS, json!({ "moe_every_n_layers": -1 }), "moe_every_n_layers"),
        (JINA_BERT, json!({ "num_attention_heads": 5 }), "num_attention_heads"),
        (JINA_BERT, json!({ "position_embedding_type": 3 }), "position_embedding_type"),
        (GTE, json!({ "num_attention_heads": 32 }), "even"),
        (GTE, json!({ "layer_norm_eps": -1.0 }), "layer_norm_eps"),
        (NEW, json!({ "rope_scaling": { "type": "ntk" } }), "factor"),
        (NEW, json!({ "rope_scaling": { "type": "ntk", "factor": 0.5 } }), "rope_scaling.factor"),
        (NEW, json!({ "rope_scaling": { "type": "ntk", "factor": "x" } }), "rope_scaling.factor"),
        (NEW, json!({ "rope_scaling": { "type": "ntk", "factor": 2.0, "mixed_b": 1e9 } }), "rope_scaling.mixed_b"),
        (NEW, json!({ "rope_scaling": { "type": "ntk", "factor": 2.0, "beta": 1 } }), "beta"),
        (NEW, json!({ "rope_scaling": { "factor": 2.0 } }), "type"),
        (NEW, json!({ "rope_scaling": [] }), "rope_scaling"),
        (NEW, json!({ "rope_theta": 0.0 }), "rope_theta"),
        (NEW, json!({ "num_attention_heads": 3 }), "num_attention_heads"),
        (NEW, json!({ "num_attention_heads": 32 }), "even"),
        (NEW, json!({ "pack_qkv": "yes" }), "pack_qkv"),
        (NEW, json!({ "layer_norm_type": 1 }), "layer_norm_type"),
        (NEW, json!({ "layer_norm_eps": 1 }), "layer_norm_eps"),
        (NEW, json!({ "type_vocab_size": -1 }), "type_vocab_size"),
        (NEW_LOGN, json!({ "max_position_embeddings": 1 }), "max_position_embeddings"),
        (NEW_LOGN, json!({ "logn_attention_clip1": 1 }), "logn_attention_clip1"),
        (VOYAGE, json!({ "num_labels": 0 }), "num_labels"),
        (VOYAGE, json!({ "num_labels": null }), "num_labels"),
        (QWEN2_GTE, json!({ "num_key_value_heads": 3 }), "num_key_value_heads"),
        (QWEN2_GTE, json!({ "num_attention_heads": 5 }), "num_attention_heads"),
        (LLAMA, json!({ "num_key_value_heads": 0 }), "num_key_value_heads"),
        (LLAMA, json!({ "rope_scaling": { "rope_type": "llama3", "factor": 8.0 } }), "low_freq_factor"),
        (PPLX, json!({ "head_dim": 15 }), "even"),
        (QWEN3, json!({ "is_causal": "no" }), "is_causal"),
        (JINA, json!({ "type_vocab_size": 0 }), "type_vocab_size"),
        (JINA, json!({ "hidden_size": 1u64 << 62 }), "columns"),
        (EUROBERT, json!({ "head_dim": 1u64 << 63 }), "columns"),
        (MODERNBERT, json!({ "num_attention_heads": 3 }), "num_attention_heads"),
        (MODERNBERT, json!({ "local_attention": 0 }), "local_attention"),
        (MODERNBERT, json!({ "layer_types": ["full_attention"] }), "layer_types"),
        (MODERNBERT_HUB, json!({ "global_attn_every_n_layers": 0 }), "global_attn_every_n_layers"),
        (MODERNBERT_HUB, json!({ "local_rope_theta": 0.0 }), "rope_theta"),
        (EUROBERT, json!({ "num_key_value_heads": 3 }), "num_key_value_heads"),
        (EUROBERT, json!({ "num_key_value_heads": 0 }), "num_key_value_heads"),
        (EUROBERT, json!({ "num_attention_heads": 5 }), "num_attention_heads"),
        (QWEN3, json!({ "num_key_value_heads": 8 }), "num_key_value_heads"),
        (QWEN3, json!({ "head_dim": 15 }), "even"),
        (QWEN3, json!({ "layer_types": ["full_attention", "sliding_attention", "full_attention"] }), "sliding_window"),
        (
            QWEN3_HUB,
            json!({ "use_sliding_window": true, "sliding_window": 0, "max_window_layers": 1 }),
            "sliding_window",
        ),
        (GEMMA, json!({ "num_key_value_heads": 3 }), "num_key_value_heads"),
        (GEMMA, json!({ "head_dim": 15 }), "even"),
        (GEMMA, json!({ "is_causal": 1 }), "is_causal"),
        (GEMMA, json!({ "rope_parameters": { "rope_theta": 0.0 } }), "rope_theta"),
        (GEMMA2, json!({ "sliding_window": 0 }), "sliding_window"),
        (GEMMA2, json!({ "attn_logit_softcapping": 0.0 }), "attn_logit_softcapping"),
        (GEMMA2, json!({ "attn_logit_softcapping": "50" }), "attn_logit_softcapping"),
        (GEMMA2, json!({ "query_pre_attn_scalar": 0 }), "query_pre_attn_scalar"),
        (GEMMA2, json!({ "layer_types": ["full_attention"] }), "layer_types"),
        (MISTRAL, json!({ "sliding_window": 0 }), "sliding_window"),
        (MISTRAL, json!({ "num_key_value_heads": 3 }), "num_key_value_heads"),
        (MISTRAL, json!({ "head_dim": 7 }), "even"),
        (MISTRAL, json!({ "num_attention_heads": 0 }), "num_attention_heads"),
        (MISTRAL, json!({ "rope_parameters": { "rope_type": "dynamic", "factor": 2.0 } }), "rope_parameters.rope_type"),
        (MINISTRAL3, json!({ "rope_parameters": { "rope_theta": 1e4 } }), "rope_parameters.llama_4_scaling_beta"),
        (
            MINISTRAL3,
            json!({ "rope_parameters": { "llama_4_scaling_beta": 0.1, "original_max_position_embeddings": 0 } }),
            "rope_parameters.original_max_position_embeddings",
        ),
        (MINISTRAL3, json!({ "rope_parameters": [] }), "rope_parameters"),
        (LFM2, json!({ "conv_L_cache": 0 }), "conv_L_cache"),
        (LFM2, json!({ "layer_types": ["conv"] }), "layer_types"),
        (LFM2, json!({ "layer_types": ["conv", "conv", "conv", "sliding_attention"] }), "layer_types"),
        (LFM2, json!({ "num_key_value_heads": 3 }), "num_key_value_heads"),
        (
            LFM2,
            json!({ "block_auto_adjust_ff_dim": true, "block_ffn_dim_multiplier": -1.0 }),
            "block_ffn_dim_multiplier",
        ),
        (LFM2, json!({ "block_auto_adjust_ff_dim": true, "block_multiple_of": 0 }), "block_multiple_of"),
        (EMBEDDING_GEMMA2, json!({ "sliding_window": 0 }), "sliding_window"),
        (EMBEDDING_GEMMA2, json!({ "embedding_dim": 0 }), "embedding_dim"),
        (EMBEDDING_GEMMA2, json!({ "hidden_size_per_layer_input": 0 }), "hidden_size_per_layer_input"),
        (EMBEDDING_GEMMA2, json!({ "layer_types": ["full_attention"] }), "layer_types"),
        (EMBEDDING_GEMMA2, json!({ "layer_types": null, "num_hidden_layers": u64::MAX }), "num_hidden_layers"),
        (EMBEDDING_GEMMA2, json!({ "per_layer_config": { "3": {} } }), "per_layer_config.3"),
        (EMBEDDING_GEMMA2, json!({ "per_layer_config": { "0": { "head_dim": 16 } } }), "per_layer_config"),
        (EMBEDDING_GEMMA2, json!({ "per_layer_config": { "2": { "mlp": 3 } } }), "per_layer_config"),
        (EMBEDDING_GEMMA2, json!({ "per_layer_config": { "2": { "head_dim": 7 } } }), "even"),
        (EMBEDDING_GEMMA2_WHOLE, json!({ "text_config": 3 }), "text_config"),
        (EMBEDDING_GEMMA2_WHOLE, json!({ "text_config": null }), "text_config"),
        (EMBEDDING_GEMMA2_WHOLE, json!({ "text_config": { "hidden_size": 0 } }), "text_config.hidden_size"),
        (GEMMA3, json!({ "sliding_window": 0 }), "sliding_window"),
        (GEMMA3, json!({ "sliding_window": null, "layer_types": null, "sliding_window_pattern": 0 }), "pattern"),
        (GEMMA3, json!({ "query_pre_attn_scalar": 0 }), "query_pre_attn_scalar"),
        (T5, json!({ "num_heads": 0 }), "num_heads"),
        (T5, json!({ "relative_attention_num_buckets": 2 }), "relative_attention_num_buckets"),
        (T5, json!({ "relative_attention_max_distance": 8 }), "relative_attention_max_distance"),
        (T5, json!({ "relative_attention_max_distance": u64::MAX }), "relative_attention_max_distance"),
        (DEBERTA, json!({ "num_attention_heads": 3 }), "num_attention_heads"),
        (DEBERTA, json!({ "position_buckets": 15 }), "position_buckets"),
        (DEBERTA, json!({ "position_buckets": 300 }), "position_buckets"),
        (DEBERTA, json!({ "max_relative_positions": i64::MAX }), "max_relative_positions"),
    ];
    for (case, changes, key) in bad {
        let error = error(case, &changes);
        assert!(
            matches!(error, Error::InvalidConfig { .. } | Error::Unsupported { .. }),
            "{case} {changes}: {error:?}"
        );
        let message = error.to_string();
        assert!(message.contains("config.json") && message.contains(key), "{case} {changes}: {message}");
    }
}

#[test]
fn unsupported_options_of_families_are_refused() {
    let refused = [
        (ELECTRA, json!({ "position_embedding_type": "relative_key" }), "position_embedding_type"),
        (ELECTRA, json!({ "is_decoder": true }), "is_decoder"),
        (ALBERT, json!({ "position_embedding_type": "relative_key" }), "position_embedding_type"),
        (NOMIC_HUB, json!({ "activation_function": "geglu" }), "activation_function"),
        (NOMIC_HUB, json!({ "prenorm": true }), "prenorm"),
        (NOMIC_HUB, json!({ "causal": true }), "causal"),
        (NOMIC_HUB, json!({ "rotary_emb_interleaved": true }), "rotary_emb_interleaved"),
        (NOMIC_HUB, json!({ "rotary_emb_scale_base": 512 }), "rotary_emb_scale_base"),
        (NOMIC_HUB, json!({ "rotary_scaling_factor": 2 }), "rotary_scaling_factor"),
        (NOMIC_EXPERTS, json!({ "activation_function": "swiglu" }), "activation_function"),
        (NOMIC_EXPERTS, json!({ "num_shared_experts": 1 }), "num_shared_experts"),
        (NOMIC_EXPERTS, json!({ "expert_choice_router": true }), "expert_choice_router"),
        (NOMIC_EXPERTS, json!({ "moe_normalize_expert_weights": true }), "moe_normalize_expert_weights"),
        (NOMIC_EXPERTS, json!({ "ffn_div": 2 }), "ffn_div"),
        (JINA_BERT, json!({ "position_embedding_type": "absolute" }), "position_embedding_type"),
        (JINA_BERT, json!({ "position_embedding_type": null }), "position_embedding_type"),
        (JINA_BERT, json!({ "feed_forward_type": "original" }), "feed_forward_type"),
        (JINA_BERT, json!({ "feed_forward_type": null }), "feed_forward_type"),
        (JINA_BERT, json!({ "is_decoder": true }), "is_decoder"),
        (NOMIC_HUB, json!({ "rotary_emb_fraction": 0.0 }), "rotary_emb_fraction"),
        (GTE, json!({ "auto_map": { "AutoModel": "other.code" } }), "auto_map"),
        (GTE, json!({ "head_dim": 16 }), "head_dim"),
        (GTE, json!({ "logn_attention_scale": true }), "logn_attention_scale"),
        (GTE, json!({ "layer_norm_type": "rms_norm" }), "layer_norm_type"),
        (GTE, json!({ "position_embedding_type": "absolute" }), "position_embedding_type"),
        (JINA, json!({ "lora_adaptations": ["retrieval.query"] }), "lora_adaptations"),
        (MODERNBERT, json!({ "rope_scaling": { "type": "linear", "factor": 2.0 } }), "rope_scaling"),
        (VOYAGE, json!({ "auto_map": { "AutoModel": "modeling.OtherModel" } }), "modeling.OtherModel"),
        (PPLX, json!({ "auto_map": { "AutoModel": "modeling.OtherModel" } }), "modeling.OtherModel"),
        (QWEN2_GTE, json!({ "auto_map": { "AutoModel": "modeling_other.Qwen2Model" } }), "modeling_other.Qwen2Model"),
        (LLAMA, json!({ "auto_map": { "AutoModel": "m.OtherModel" } }), "m.OtherModel"),
        (NEW, json!({ "auto_map": { "AutoModel": "modeling.OtherModel" } }), "modeling.OtherModel"),
        (NEW, json!({ "layer_norm_type": "group_norm" }), "layer_norm_type"),
        (NEW, json!({ "position_embedding_type": "alibi" }), "position_embedding_type"),
        (NEW, json!({ "hidden_act": "laplace" }), "hidden_act"),
        (SNOWFLAKE, json!({ "auto_map": { "AutoModel": "modeling.NewModel" } }), "modeling.NewModel"),
        (STELLA, json!({ "model_type": "stella" }), "stella"),
        (GEMMA, json!({ "hidden_act": "laplace" }), "hidden_act"),
        (MINISTRAL3, json!({ "rope_scaling": { "rope_type": "linear", "factor": 2.0 } }), "rope_scaling"),
        (GEMMA3, json!({ "attn_logit_softcapping": 50.0 }), "attn_logit_softcapping"),
        (T5, json!({ "feed_forward_proj": "gated-laplace" }), "feed_forward_proj"),
        (T5, json!({ "is_decoder": true }), "is_decoder"),
        (DEBERTA, json!({ "conv_kernel_size": 3 }), "conv_kernel_size"),
        (DEBERTA, json!({ "embedding_size": 16 }), "embedding_size"),
        (DEBERTA, json!({ "pos_att_type": "c2p|p2p" }), "pos_att_type"),
        (DEBERTA, json!({ "norm_rel_ebd": "batch_norm" }), "norm_rel_ebd"),
    ];
    for (case, changes, key) in refused {
        let error = error(case, &changes);
        assert!(matches!(error, Error::Unsupported { .. }), "{case} {changes}: {error:?}");
        assert!(error.to_string().contains(key), "{case} {changes}: {error}");
    }
    // Kinds of rotary positions and of layers are fixed lists.
    let unknown = [
        (NEW, json!({ "rope_scaling": { "type": "linear", "factor": 2.0 } }), "linear"),
        (NEW, json!({ "rope_scaling": null, "rope_parameters": { "rope_type": "yarn", "factor": 2.0 } }), "rope_type"),
        (NOMIC, json!({ "rope_parameters": { "rope_type": "longrope" } }), "longrope"),
        (GTE, json!({ "rope_scaling": { "type": "ntk", "factor": 2.0 } }), "ntk"),
        (EUROBERT, json!({ "rope_parameters": { "partial_rotary_factor": 0.5 } }), "partial_rotary_factor"),
        (MODERNBERT, json!({ "rope_parameters": { "rope_theta": 10000.0 } }), "rope_theta"),
        (MODERNBERT, json!({ "layer_types": ["chunked_attention"] }), "chunked_attention"),
    ];
    for (case, changes, word) in unknown {
        let error = error(case, &changes);
        assert!(matches!(error, Error::InvalidConfig { .. }), "{case} {changes}: {error:?}");
        assert!(error.to_string().contains(word), "{case} {changes}: {error}");
    }
}

#[test]
fn sizes_that_are_not_those_of_the_tensors_are_named() {
    let missing = [
        (ELECTRA, json!({ "num_hidden_layers": 3 }), "encoder.layer.2."),
        (NEW, json!({ "pack_qkv": false }), "q_proj"),
        (NEW, json!({ "type_vocab_size": 1 }), "token_type_embeddings"),
        (NEW, json!({ "position_embedding_type": "absolute" }), "position_embeddings"),
        (QWEN2_GTE, json!({ "num_hidden_layers": 3 }), "layers.2."),
        (LLAMA, json!({ "attention_bias": true }), "bias"),
        (ALBERT, json!({ "inner_group_num": 2 }), "albert_layers.1."),
        (NOMIC, json!({ "num_hidden_layers": u64::MAX }), "encoder.layers.2."),
        (NOMIC_EXPERTS, json!({ "moe_every_n_layers": 3 }), "fc1"),
        (NOMIC_HUB, json!({ "activation_function": "gelu" }), "fc1"),
        (JINA_BERT, json!({ "num_hidden_layers": 3 }), "encoder.layer.2."),
        (MODERNBERT, json!({ "norm_bias": true }), "bias"),
        (EUROBERT, json!({ "attention_bias": true }), "bias"),
        (GEMMA, json!({ "num_hidden_layers": 4 }), "layers.3."),
        (LFM2, json!({ "conv_bias": true }), "bias"),
        (LFM2, json!({ "layer_types": ["conv", "conv", "conv", "conv"] }), "conv"),
        (EMBEDDING_GEMMA2, json!({ "attention_bias": true }), "bias"),
        (T5, json!({ "feed_forward_proj": "gated-gelu" }), "wi_0"),
        (DEBERTA, json!({ "share_att_key": false }), "pos_"),
        (DEBERTA, json!({ "type_vocab_size": 2 }), "token_type_embeddings"),
    ];
    for (case, changes, name) in missing {
        let error = error(case, &changes);
        assert!(matches!(error, Error::MissingWeight { .. }), "{case} {changes}: {error:?}");
        assert!(error.to_string().contains(name), "{case} {changes}: {error}");
    }
    let shapes = [
        (ELECTRA, json!({ "embedding_size": 32 })),
        (ALBERT, json!({ "hidden_size": 64 })),
        (NOMIC, json!({ "intermediate_size": 1u64 << 63 })),
        (NOMIC_EXPERTS, json!({ "num_experts": 4 })),
        (NOMIC_EXPERTS, json!({ "num_experts": 1u64 << 63 })),
        (JINA_BERT, json!({ "intermediate_size": 1u64 << 63 })),
        (JINA_BERT, json!({ "hidden_size": 1u64 << 62, "num_attention_heads": 1u64 << 62 })),
        (GTE, json!({ "intermediate_size": 1u64 << 63 })),
        (NEW, json!({ "intermediate_size": 1u64 << 63 })),
        (NEW_ABSOLUTE, json!({ "max_position_embeddings": 121 })),
        (VOYAGE, json!({ "num_labels": 49 })),
        (QWEN2_GTE, json!({ "num_key_value_heads": 4 })),
        (LLAMA, json!({ "head_dim": 16 })),
        (MODERNBERT, json!({ "intermediate_size": u64::MAX })),
        (QWEN3, json!({ "num_key_value_heads": 4 })),
        (GEMMA, json!({ "head_dim": 8 })),
        (GEMMA2, json!({ "num_key_value_heads": 4 })),
        (MISTRAL, json!({ "head_dim": 16 })),
        (MINISTRAL3, json!({ "head_dim": 8 })),
        (LFM2, json!({ "conv_L_cache": 4 })),
        (LFM2, json!({ "block_auto_adjust_ff_dim": true, "intermediate_size": u64::MAX })),
        (LFM2, json!({ "conv_L_cache": 1u64 << 62 })),
        (EMBEDDING_GEMMA2, json!({ "embedding_dim": 25 })),
        (EMBEDDING_GEMMA2, json!({ "hidden_size_per_layer_input": 1u64 << 62 })),
        (EMBEDDING_GEMMA2, json!({ "per_layer_config": {} })),
        (GEMMA3, json!({ "head_dim": 8 })),
        (T5, json!({ "d_kv": 1u64 << 62 })),
        (DEBERTA, json!({ "position_buckets": 18 })),
    ];
    for (case, changes) in shapes {
        let error = error(case, &changes);
        assert!(matches!(error, Error::WeightShape { .. }), "{case} {changes}: {error:?}");
    }
}

/// Returns a part of a case's config with changed keys.
fn changed(case: &str, part: &str, changes: &Value) -> Value {
    let config: Value = json(&tiny(case).model.join("config.json"));
    let mut changed = config[part].clone();
    changed.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    json!({ part: changed })
}

const CLIP: &str = "clip-transformer";
const SIGLIP: &str = "siglip";
const TEXT: &str = "text_config";
const VISION: &str = "vision_config";

#[test]
fn configs_of_towers_are_checked() {
    for (case, part, changes, name) in [
        (CLIP, VISION, json!({ "patch_size": 64 }), "vision_config.patch_size"),
        (CLIP, VISION, json!({ "patch_size": 0 }), "vision_config.patch_size"),
        (CLIP, VISION, json!({ "image_size": 100_000 }), "vision_config.image_size"),
        (CLIP, VISION, json!({ "image_size": 64 }), "64 x 64"),
        (CLIP, VISION, json!({ "num_attention_heads": 5 }), "vision_config.num_attention_heads"),
        (CLIP, TEXT, json!({ "num_attention_heads": 5 }), "text_config.num_attention_heads"),
        (CLIP, TEXT, json!({ "eos_token_id": -1 }), "text_config.eos_token_id"),
        (SIGLIP, VISION, json!({ "layer_norm_eps": -1.0 }), "vision_config.layer_norm_eps"),
        (SIGLIP, TEXT, json!({ "projection_size": 0 }), "text_config.projection_size"),
    ] {
        let error = error(case, &changed(case, part, &changes));
        assert!(matches!(error, Error::InvalidConfig { .. }), "{case} {changes}: {error:?}");
        assert!(error.to_string().contains(name), "{case} {changes}: {error}");
    }
    for (case, part, changes, name) in [
        (CLIP, VISION, json!({ "num_channels": 1 }), "num_channels"),
        (CLIP, VISION, json!({ "hidden_act": "laplace" }), "hidden_act"),
        (SIGLIP, VISION, json!({ "vision_use_head": false }), "vision_use_head"),
        (SIGLIP, TEXT, json!({ "hidden_act": "laplace" }), "hidden_act"),
    ] {
        let error = error(case, &changed(case, part, &changes));
        assert!(matches!(error, Error::Unsupported { .. }), "{case} {changes}: {error:?}");
        assert!(error.to_string().contains(name), "{case} {changes}: {error}");
    }
    for (case, part, changes, name) in [
        (CLIP, VISION, json!({ "num_hidden_layers": 5 }), "vision_model.encoder.layers."),
        (SIGLIP, TEXT, json!({ "num_hidden_layers": 5 }), "text_model.encoder.layers."),
    ] {
        let error = error(case, &changed(case, part, &changes));
        assert!(matches!(error, Error::MissingWeight { .. }), "{case} {changes}: {error:?}");
        assert!(error.to_string().contains(name), "{case} {changes}: {error}");
    }
    for (case, part, changes) in [
        (CLIP, VISION, json!({ "patch_size": 4 })),
        (CLIP, VISION, json!({ "intermediate_size": 1u64 << 63 })),
        (CLIP, TEXT, json!({ "max_position_embeddings": 1u64 << 62 })),
        (SIGLIP, VISION, json!({ "patch_size": 16 })),
        (SIGLIP, TEXT, json!({ "projection_size": 16 })),
    ] {
        let error = error(case, &changed(case, part, &changes));
        assert!(matches!(error, Error::WeightShape { .. }), "{case} {changes}: {error:?}");
    }
    assert!(matches!(error(CLIP, &json!({ "projection_dim": 7 })), Error::WeightShape { .. }));
}

#[test]
fn image_processors_are_checked() {
    for (changes, key) in [
        (json!({ "image_processor_type": "ViTImageProcessor" }), "image_processor_type"),
        (json!({ "size": { "longest_edge": 32 } }), "size"),
        (json!({ "size": { "shortest_edge": 16 } }), "size"),
        (json!({ "size": 0 }), "size"),
        (json!({ "crop_size": 16 }), "crop_size"),
        (json!({ "crop_size": { "height": 32 } }), "crop_size"),
        (json!({ "resample": 9 }), "resample"),
        (json!({ "image_mean": [0.5] }), "image_mean"),
        (json!({ "image_std": [0.5, 0.0, 0.5] }), "image_std"),
        (json!({ "do_resize": "yes" }), "do_resize"),
        (json!({ "rescale_factor": "1/255" }), "rescale_factor"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        copy(&tiny(CLIP).model, folder.path());
        let path = folder.path().join("processor_config.json");
        let mut config: Value = json(&path);
        config["image_processor"].as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        fs::write(&path, config.to_string()).unwrap();
        let error = Model::from_dir(folder.path()).expect_err(&changes.to_string());
        assert!(matches!(error, Error::InvalidConfig { .. } | Error::Unsupported { .. }), "{changes}: {error:?}");
        let message = error.to_string();
        assert!(message.contains("processor_config.json") && message.contains(key), "{changes}: {message}");
    }
}
