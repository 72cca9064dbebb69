//! Tests of random models of every family: both versions of the ops give the same numbers.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::common::{is_native, named, native, tiny, ways};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rushlight::{EncodeOptions, Error, Image, Input, LoadOptions, Model, Pixels};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

/// Sizes and flags of a random config.
#[derive(Clone, Debug)]
struct Sizes {
    layers: usize,
    /// Number of key heads, and of query heads for each of them.
    heads: usize,
    sharing: usize,
    /// Number of pairs of columns per head.
    pairs: usize,
    middle: usize,
    window: usize,
    activation: &'static str,
    flags: [bool; 4],
    seed: u64,
}

impl Sizes {
    fn any() -> impl Strategy<Value = Self> {
        let sizes = (1usize..4, 1usize..4, 1usize..4, 1usize..11, 1usize..70, 1usize..60);
        let activations = prop::sample::select(vec!["gelu", "gelu_new", "relu", "silu", "tanh"]);
        (sizes, activations, any::<[bool; 4]>(), any::<u64>()).prop_map(|(sizes, activation, flags, seed)| {
            let (layers, heads, sharing, pairs, middle, window) = sizes;
            Self { layers, heads, sharing, pairs, middle, window, activation, flags, seed }
        })
    }

    fn hidden(&self) -> usize {
        // Norms of narrower vectors amplify small differences.
        self.heads * 2 * (4 + self.pairs)
    }

    /// Returns the keys that nearly all families' configs share.
    fn config(&self, model_type: &str, more: Value) -> Value {
        let mut config = json!({
            "model_type": model_type,
            "vocab_size": VOCABULARY,
            "hidden_size": self.hidden(),
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.middle,
            "hidden_act": self.activation,
            "max_position_embeddings": 600,
            "type_vocab_size": 2,
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    }

    /// Returns the config of a model with JinaBERT's code.
    fn jina_bert(&self, repository: &str) -> Value {
        self.config(
            "bert",
            json!({
                "auto_map": { "AutoModel": format!("jinaai/{repository}--modeling_bert.JinaBertModel") },
                "position_embedding_type": "alibi", "feed_forward_type": if self.flags[0] { "geglu" } else { "reglu" },
            }),
        )
    }

    /// Returns the config of a descendant of Llama, with grouped-query attention and its own head width.
    fn decoder(&self, model_type: &str, more: Value) -> Value {
        let mut config = self.config(model_type, more);
        config["num_attention_heads"] = json!(self.heads * self.sharing);
        config["hidden_size"] = json!(self.heads * self.sharing * (16 + self.middle % 9));
        config["num_key_value_heads"] = json!(self.heads);
        config["head_dim"] = json!(2 * self.pairs);
        config["attention_bias"] = json!(self.flags[0]);
        config
    }

    /// Returns the config of a tower for images, which is wider than that of texts.
    fn images(&self) -> Value {
        let patch = 2 + self.window % 7;
        json!({
            "hidden_size": 2 * self.hidden(), "num_hidden_layers": 1 + self.middle % 3, "num_attention_heads": self.heads,
            "intermediate_size": self.window, "hidden_act": self.activation, "patch_size": patch,
            // Pixels that fill no patch are left out.
            "image_size": patch * (1 + self.middle % 5) + usize::from(self.flags[1]),
        })
    }
}

const VOCABULARY: usize = 420;
/// Repository of JinaBERT's code with norms of queries and keys.
const NORMED: &str = "jina-bert-v2-qk-post-norm";
/// Returns the configs of each family.
const CASES: u32 = 4;

fn families() -> Vec<fn(&Sizes) -> Value> {
    vec![
        |s| s.config("bert", json!({})),
        |s| s.config("roberta", json!({ "type_vocab_size": 1, "pad_token_id": 1 })),
        |s| s.config("mpnet", json!({ "relative_attention_num_buckets": 4 * (1 + s.window % 9) })),
        |s| s.config("electra", json!({ "embedding_size": 1 + s.window })),
        |s| {
            s.config("albert", json!({
            "embedding_size": 1 + s.window, "num_hidden_groups": s.layers.min(2), "inner_group_num": 1 + s.window % 2,
        }))
        },
        |s| {
            json!({
                "model_type": "distilbert", "vocab_size": VOCABULARY, "dim": s.hidden(), "n_layers": s.layers,
                "n_heads": s.heads, "hidden_dim": s.middle, "activation": s.activation, "max_position_embeddings": 600,
            })
        },
        |s| s.config("nomic_bert", json!({ "head_dim": 2 * (1 + s.window % 9), "rope_theta": 100.0 })),
        |s| {
            json!({
                "model_type": "nomic_bert", "vocab_size": VOCABULARY, "n_embd": 4 * s.hidden(), "n_layer": s.layers,
                "n_head": s.heads, "n_inner": s.middle, "n_positions": 600, "type_vocab_size": 2,
                "activation_function": "swiglu", "layer_norm_epsilon": 1e-6, "rotary_emb_base": 500,
                "rotary_emb_fraction": if s.flags[0] { 1.0 } else { 0.5 }, "qkv_proj_bias": s.flags[1],
                "mlp_fc1_bias": s.flags[2], "mlp_fc2_bias": s.flags[3],
            })
        },
        |s| {
            json!({
                "model_type": "nomic_bert", "vocab_size": VOCABULARY, "n_embd": 4 * s.hidden(), "n_layer": s.layers + 1,
                "n_head": s.heads, "n_inner": s.middle, "n_positions": 600, "type_vocab_size": 2,
                "activation_function": "gelu", "layer_norm_epsilon": 1e-6, "qkv_proj_bias": s.flags[1],
                "rotary_emb_fraction": 1.0, "mlp_fc1_bias": s.flags[2], "mlp_fc2_bias": s.flags[3],
                "num_experts": 3 + s.window % 9, "moe_top_k": 1 + s.middle % 3, "moe_every_n_layers": 2,
            })
        },
        |s| s.jina_bert("jina-bert-implementation"),
        |s| s.jina_bert(NORMED),
        |s| s.config("gte", json!({ "type_vocab_size": usize::from(s.flags[0]) })),
        |s| {
            let mixed = if s.flags[2] { json!({ "mixed_b": 0.1 * s.window as f64 }) } else { json!({}) };
            let mut ntk = json!({ "type": "ntk", "factor": 1.0 + s.middle as f64 });
            ntk.as_object_mut().unwrap().extend(mixed.as_object().unwrap().clone());
            s.config("new", json!({
                "pack_qkv": s.flags[0], "layer_norm_type": if s.flags[1] { "rms_norm" } else { "layer_norm" },
                "position_embedding_type": if s.window % 4 == 0 { "absolute" } else { "rope" },
                "rope_scaling": if s.flags[3] { ntk } else { Value::Null }, "logn_attention_scale": s.middle % 2 == 0,
                "logn_attention_clip1": s.window % 2 == 0, "max_position_embeddings": 600 - s.window,
                "type_vocab_size": usize::from(s.flags[0]),
            }))
        },
        |s| {
            let code = json!({ "AutoModel": "modeling_hf_alibaba_nlp_gte.GteModel" });
            s.config("gte", json!({ "type_vocab_size": usize::from(s.flags[0]), "auto_map": code }))
        },
        |s| {
            s.config(
                "jina_embeddings_v3",
                json!({
                    "rope_parameters": { "rope_type": "linear", "factor": 1.0 + s.window as f64 },
                }),
            )
        },
        |s| {
            s.config("xlm-roberta", json!({
            "auto_map": { "AutoModel": "jinaai/xlm-roberta-flash-implementation--modeling_lora.XLMRobertaLoRA" },
            "position_embedding_type": if s.flags[0] { "rotary" } else { "absolute" }, "rotary_emb_base": 500.0,
            "type_vocab_size": 1, "pad_token_id": 1,
        }))
        },
        |s| {
            s.config("modernbert", json!({
            "hidden_activation": s.activation, "local_attention": s.window, "norm_bias": s.flags[0],
            "attention_bias": s.flags[1], "mlp_bias": s.flags[2], "global_attn_every_n_layers": 1 + s.middle % 3,
        }))
        },
        |s| s.decoder("eurobert", json!({ "mlp_bias": s.flags[1] })),
        |s| {
            s.decoder(
                "qwen3",
                json!({
                    "use_sliding_window": s.flags[1], "sliding_window": s.window, "max_window_layers": s.middle % 3,
                }),
            )
        },
        |s| s.decoder("qwen3", json!({ "is_causal": false })),
        |s| s.decoder("bidirectional_pplx_qwen3", json!({})),
        |s| {
            let code = json!({ "AutoModel": "modeling_qwen3_bidirectional.Qwen3BidirectionalForTextEmbedding" });
            s.decoder("qwen3", json!({ "num_labels": 8 + s.window, "auto_map": code }))
        },
        |s| {
            s.decoder(
                "qwen2",
                json!({
                    "use_sliding_window": s.flags[1], "sliding_window": s.window, "max_window_layers": s.middle % 3,
                }),
            )
        },
        |s| s.decoder("qwen2", json!({ "auto_map": { "AutoModel": "modeling_qwen.Qwen2Model" } })),
        |s| s.decoder("llama_bidirec", json!({ "mlp_bias": s.flags[1] })),
        |s| s.decoder("gemma", json!({ "use_bidirectional_attention": s.flags[1] })),
        |s| {
            let limit = if s.flags[2] { json!(0.5 + s.middle as f64) } else { Value::Null };
            s.decoder(
                "gemma2",
                json!({
                    "hidden_activation": s.activation, "sliding_window": s.window, "attn_logit_softcapping": limit,
                    "query_pre_attn_scalar": 1 + s.middle, "is_causal": s.flags[1],
                }),
            )
        },
        |s| {
            let rope = json!({
                "rope_type": "llama3", "factor": 1.0 + s.middle as f64, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 16 * s.window,
            });
            s.decoder("llama", json!({ "mlp_bias": s.flags[1], "is_causal": s.flags[2], "rope_scaling": rope }))
        },
        |s| {
            let sliding = if s.flags[1] { json!(s.window) } else { Value::Null };
            s.decoder("mistral", json!({ "sliding_window": sliding, "is_causal": s.flags[2] }))
        },
        |s| {
            let rope = json!({
                "rope_type": "yarn", "factor": 1.0 + s.middle as f64, "original_max_position_embeddings": s.window,
                "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1,
            });
            s.decoder("ministral3", json!({ "rope_parameters": rope, "is_causal": s.flags[2] }))
        },
        |s| {
            let types: Vec<_> = (0..s.layers).map(|i| if s.flags[i % 4] { "conv" } else { "full_attention" }).collect();
            s.decoder("lfm2", json!({
                "layer_types": types, "conv_bias": s.flags[2], "conv_L_cache": 1 + s.window % 5, "is_causal": s.flags[1],
                "block_auto_adjust_ff_dim": s.flags[3], "block_multiple_of": 1 + s.window % 7,
            }))
        },
        |s| {
            s.decoder("embedding_gemma2_text", json!({
                "hidden_activation": s.activation, "sliding_window": s.window, "sliding_window_pattern": 1 + s.middle % 3,
                "hidden_size_per_layer_input": 8 + s.window, "embedding_dim": 8 + s.middle, "per_layer_config": {},
            }))
        },
        |s| {
            s.decoder("gemma3_text", json!({
            "hidden_activation": s.activation, "sliding_window": s.window, "sliding_window_pattern": 1 + s.middle % 3,
            "use_bidirectional_attention": s.flags[1], "query_pre_attn_scalar": 1 + s.middle,
        }))
        },
        |s| {
            json!({
                "model_type": "t5", "vocab_size": VOCABULARY, "d_model": s.hidden() + s.window, "d_kv": s.pairs,
                "d_ff": s.middle, "num_layers": s.layers, "num_heads": s.heads,
                "feed_forward_proj": if s.flags[0] { format!("gated-{}", s.activation) } else { s.activation.to_owned() },
                "relative_attention_num_buckets": 4 + s.middle % 30, "relative_attention_max_distance": 20 + s.window,
            })
        },
        |s| {
            let types: Vec<_> = ["c2p", "p2c"].into_iter().zip(s.flags).filter(|(_, on)| *on).map(|(t, _)| t).collect();
            s.config(
                "deberta-v2",
                json!({
                    "relative_attention": true, "pos_att_type": types, "share_att_key": s.flags[2],
                    "position_biased_input": s.flags[3], "norm_rel_ebd": if s.flags[3] { "layer_norm" } else { "none" },
                    "position_buckets": if s.window % 3 == 0 { -1 } else { 2 * s.window as i64 },
                    "max_relative_positions": 60 + s.window, "type_vocab_size": usize::from(s.flags[0]),
                }),
            )
        },
        |s| {
            let text = s.config("clip_text_model", json!({ "max_position_embeddings": 70, "eos_token_id": 2 }));
            json!({
                "model_type": "clip", "projection_dim": 8 + s.middle, "text_config": text, "vision_config": s.images(),
            })
        },
        |s| {
            let text = json!({ "max_position_embeddings": 70, "projection_size": 2 * s.hidden() });
            let text = s.config("siglip_text_model", text);
            json!({ "model_type": "siglip", "text_config": text, "vision_config": s.images() })
        },
    ]
}

/// Writes a plain transformers folder with random tensors, for all names that loading requests.
fn fill(folder: &Path, config: &Value, seed: u64) {
    let tokenizer = tiny("bert-mean-normalize").model;
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        fs::copy(tokenizer.join(file), folder.join(file)).unwrap();
    }
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    if let Some(side) = config["vision_config"].get("image_size") {
        let processor = json!({ "size": { "height": side, "width": side }, "crop_size": side });
        fs::write(folder.join("preprocessor_config.json"), processor.to_string()).unwrap();
    }
    let mut tensors = BTreeMap::from([("none".to_owned(), vec![0])]);
    if config.to_string().contains(NORMED) {
        // The name of this tensor tells the form of the code.
        of_layers(&mut tensors, "encoder.layer.0.attention.self.layer_norm_q.weight", &[0]);
    }
    loop {
        write(folder, &tensors, seed);
        match Model::from_dir(folder) {
            Ok(_) => return,
            // Layers of any number have the same tensors.
            Err(Error::MissingWeight { name, .. }) => of_layers(&mut tensors, &name, &[0]),
            Err(Error::WeightShape { name, expected, .. }) => of_layers(&mut tensors, &name, &expected),
            Err(error) => panic!("{config}: {error}"),
        }
    }
}

fn of_layers(tensors: &mut BTreeMap<String, Vec<usize>>, name: &str, shape: &[usize]) {
    let number = name.split('.').position(|part| part.parse::<usize>().is_ok());
    for i in 0..number.map_or(1, |_| 4) {
        let other = |(place, part): (usize, &str)| if Some(place) == number { i.to_string() } else { part.to_owned() };
        let name: Vec<_> = name.split('.').enumerate().map(other).collect();
        tensors.insert(name.join("."), shape.to_vec());
    }
}

fn write(folder: &Path, tensors: &BTreeMap<String, Vec<usize>>, seed: u64) {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    let bytes = tensors.iter().map(|(name, shape)| {
        let norm = shape.len() == 1 && name.ends_with("weight");
        // Scaled so that a layer's output is as large as its input.
        let inputs = shape.iter().skip(1).product::<usize>();
        let spread = if shape.len() % 2 == 0 { (3.0 / inputs as f32).sqrt() } else { 0.2 };
        let number = |x: f32| if norm { 1.0 + 0.2 * x } else { spread * x };
        let count = shape.iter().product::<usize>();
        (name, shape, (0..count).flat_map(|_| number(next()).to_le_bytes()).collect::<Vec<u8>>())
    });
    let bytes: Vec<_> = bytes.collect();
    let views = bytes
        .iter()
        .map(|(name, shape, data)| (name.as_str(), TensorView::new(Dtype::F32, (*shape).clone(), data).unwrap()));
    fs::write(folder.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Embeds texts, and images of several sizes if the model takes them.
fn embeddings(folder: &Path, way: &LoadOptions, texts: &[String]) -> Vec<f32> {
    let model = Model::from_dir_with(folder, way).unwrap();
    let bytes: Vec<u8> = (0..40 * 30 * 3_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let pixels = [(1, 1), (7, 40), (40, 30)].map(|(width, height)| {
        Input::Image(Image::Pixels(Pixels::new(&bytes[..width * height * 3], width, height, 3).unwrap()))
    });
    let images = pixels.into_iter().filter(|_| model.embeds_images());
    let inputs: Vec<_> = texts.iter().map(|text| Input::Text(text)).chain(images).collect();
    model.encode_inputs(&inputs, &EncodeOptions::default()).unwrap().into_vec()
}

#[test]
fn both_ops_agree_on_random_models_of_every_family() {
    let texts: Vec<_> = [0, 1, 5, 30, 70, 200, 500].map(|words| "of the rest ".repeat(words).trim().to_owned()).into();
    for (i, family) in families().into_iter().enumerate() {
        // Each run has the same configs, so that failures repeat.
        let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let agree = |sizes: Sizes| {
            let config = family(&sizes);
            let folder = tempfile::tempdir().unwrap();
            fill(folder.path(), &config, sizes.seed);
            let own = embeddings(folder.path(), &native(), &texts);
            for way in ways().iter().filter(|way| !is_native(way)) {
                let candle = embeddings(folder.path(), way, &texts);
                let largest = candle.iter().fold(1.0, |largest: f32, x| largest.max(x.abs()));
                for (x, y) in own.iter().zip(&candle) {
                    prop_assert!((x - y).abs() <= 1e-5 * largest, "{} and {} by {} of {}", x, y, named(way), config);
                }
            }
            Ok(())
        };
        runner.run(&Sizes::any(), agree).unwrap_or_else(|error| panic!("family {i}: {error}"));
    }
}

/// Positions of `dynamic` change beyond the model's length, where they would depend on the longest text of a batch.
#[test]
fn dynamic_positions_are_the_usual_ones_up_to_the_models_length() {
    let case = tiny("llama-rope3-lasttoken");
    let load = |parameters: Value| {
        let folder = tempfile::tempdir().unwrap();
        crate::common::copy(&case.model, folder.path());
        let path = folder.path().join("config.json");
        let mut config: Value = crate::common::json(&path);
        config["rope_parameters"] = parameters;
        fs::write(path, config.to_string()).unwrap();
        Model::from_dir(folder.path()).unwrap()
    };
    let usual = load(json!({ "rope_type": "default", "rope_theta": 1e4 }));
    let mut dynamic = load(json!({ "rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0 }));
    let encode = |model: &Model| model.encode(&case.texts, &EncodeOptions::default()).unwrap().into_vec();
    assert_eq!(encode(&usual), encode(&dynamic));
    dynamic.set_max_seq_length(256).unwrap();
    let error = dynamic.set_max_seq_length(257).unwrap_err().to_string();
    assert!(error.contains("256"), "{error}");
}
