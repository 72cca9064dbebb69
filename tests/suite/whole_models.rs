//! Tests of whole folders: modules and files without an effect on inference load; unsupported ones are always refused.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{copy, data, json, largest_difference, native, tiny, ways};
use rushlight::{
    EncodeOptions, Error, Model, MultiVectorModel, MultiVectorOptions, PredictOptions, Reranker, SparseModel,
    SparseOptions,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const TEXTS: [&str; 2] = ["some text", "and another one"];

/// Kinds of models.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Sentence,
    Reranker,
    Sparse,
    MultiVector,
}

use Kind::{MultiVector, Reranker as Pairs, Sentence, Sparse};

impl Kind {
    /// Loads a folder and returns its numbers for texts, and those of its saved copy.
    fn load(self, folder: &Path) -> Result<[Vec<f32>; 2], Error> {
        let saved = tempfile::tempdir().unwrap();
        let to = saved.path();
        match self {
            Self::Sentence => Model::from_dir(folder)?.save(to)?,
            Self::Reranker => Reranker::from_dir(folder)?.save(to)?,
            Self::Sparse => SparseModel::from_dir(folder)?.save(to)?,
            Self::MultiVector => MultiVectorModel::from_dir(folder)?.save(to)?,
        }
        Ok([self.numbers(folder)?, self.numbers(to)?])
    }

    fn numbers(self, folder: &Path) -> Result<Vec<f32>, Error> {
        Ok(match self {
            Self::Sentence => {
                let model = Model::from_dir(folder)?;
                let [queries, documents] = [
                    model.encode_query(&TEXTS, &EncodeOptions::default())?,
                    model.encode_document(&TEXTS, &EncodeOptions::default())?,
                ];
                [queries.into_vec(), documents.into_vec()].concat()
            }
            Self::Reranker => {
                let pairs = [(TEXTS[0], TEXTS[1])];
                Reranker::from_dir(folder)?.predict(&pairs, &PredictOptions::default())?.into_vec()
            }
            Self::Sparse => {
                let model = SparseModel::from_dir(folder)?;
                let [queries, documents] = [
                    model.encode_query(&TEXTS, &SparseOptions::default())?,
                    model.encode_document(&TEXTS, &SparseOptions::default())?,
                ];
                [queries.to_dense()?.into_vec(), documents.to_dense()?.into_vec()].concat()
            }
            Self::MultiVector => {
                let model = MultiVectorModel::from_dir(folder)?;
                let rows = model.encode_document(&TEXTS, &MultiVectorOptions::default())?;
                rows.into_iter().flat_map(rushlight::Matrix::into_vec).collect()
            }
        })
    }

    /// Returns the folders of small models of that kind.
    fn cases(self) -> Vec<PathBuf> {
        let (below, cases): (_, &[&str]) = match self {
            Self::Sentence => ("tiny", &["bert-dense-tanh", "bert-weighted-layers", "static-embedding"]),
            Self::Reranker => ("rerank", &["rerank-bert"]),
            Self::Sparse => ("sparse", &["splade-bert-max", "splade-router-static-query"]),
            Self::MultiVector => ("multi_vector", &["multivector-native-bert", "multivector-pylate-bert"]),
        };
        cases.iter().map(|case| data().join(below).join(case).join("model")).collect()
    }
}

const KINDS: [Kind; 4] = [Sentence, Pairs, Sparse, MultiVector];

fn copied(model: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(model, folder.path());
    folder
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = json(path);
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

const DROPOUTS: [&str; 3] = [
    "sentence_transformers.models.Dropout",
    "sentence_transformers.models.Dropout.Dropout",
    "sentence_transformers.sentence_transformer.modules.dropout.Dropout",
];

#[test]
fn dropout_modules_change_nothing() {
    for (kind, model) in KINDS.into_iter().flat_map(|kind| kind.cases().into_iter().map(move |case| (kind, case))) {
        let right = kind.numbers(&model).unwrap();
        let listed: Vec<Value> = json(&model.join("modules.json"));
        for (place, class) in (1..=listed.len()).flat_map(|place| DROPOUTS.map(|class| (place, class))) {
            let folder = copied(&model);
            edit(&folder.path().join("modules.json"), |modules| {
                let dropout = json!({ "idx": place, "name": "9", "path": "9_Dropout", "type": class });
                modules.as_array_mut().unwrap().insert(place, dropout);
            });
            // Its config has no effect, and may be absent.
            if class == DROPOUTS[0] {
                fs::create_dir(folder.path().join("9_Dropout")).unwrap();
                fs::write(folder.path().join("9_Dropout/config.json"), r#"{"dropout": 0.1}"#).unwrap();
            }
            let [got, saved] = kind.load(folder.path()).unwrap();
            assert!(got == right && saved == right, "{kind:?} {} {place} {class}", model.display());
        }
    }
    let outside = copied(&tiny("bert-dense-tanh").model);
    edit(&outside.path().join("modules.json"), |modules| {
        modules.as_array_mut().unwrap().push(json!({ "path": "../x", "type": DROPOUTS[0] }));
    });
    assert!(Model::from_dir(outside.path()).unwrap_err().to_string().contains("path"));
}

#[test]
fn dropout_modules_change_nothing_on_a_route() {
    let model = data().join("sparse/splade-router-static-query/model");
    let right = Sparse.numbers(&model).unwrap();
    for (route, class) in ["query", "document"].into_iter().flat_map(|route| DROPOUTS.map(|class| (route, class))) {
        let folder = copied(&model);
        let path = folder.path().join("router_config.json");
        edit(&path, |config| {
            config["types"]["x_Dropout"] = json!(class);
            config["structure"][route].as_array_mut().unwrap().push(json!("x_Dropout"));
        });
        let [got, saved] = Sparse.load(folder.path()).unwrap();
        assert!(got == right && saved == right, "{route} {class}");
        edit(&path, |config| config["structure"][route] = json!(["x_Dropout"]));
        let error = SparseModel::from_dir(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("structure.{route}")), "{error}");
    }
}

/// Returns the numbers of a model whose config names remote code.
fn with_code(kind: Kind, model: &Path, code: &Value) -> Result<Vec<f32>, Error> {
    let folder = copied(model);
    edit(&folder.path().join("config.json"), |config| config["auto_map"] = code.clone());
    kind.numbers(folder.path())
}

#[test]
fn code_counts_for_the_class_that_the_model_is_loaded_by() {
    let sparse = data().join("sparse/splade-bert-max/model");
    let cases = [
        (Sentence, tiny("bert-mean-normalize").model, "AutoModel"),
        (Sentence, tiny("modernbert-mean").model, "AutoModel"),
        (Sentence, tiny("qwen3-lasttoken-normalize").model, "AutoModel"),
        (Sentence, tiny("t5-mean-dense-normalize").model, "AutoModel"),
        (Pairs, data().join("rerank/rerank-bert/model"), "AutoModelForSequenceClassification"),
        (Sparse, sparse, "AutoModelForMaskedLM"),
        (MultiVector, data().join("multi_vector/multivector-native-bert/model"), "AutoModel"),
        (MultiVector, data().join("multi_vector/multivector-stanford-bert/model"), "AutoModel"),
    ];
    const CLASSES: [&str; 7] = [
        "AutoConfig",
        "AutoModel",
        "AutoModelForCausalLM",
        "AutoModelForMaskedLM",
        "AutoModelForSequenceClassification",
        "AutoModelForTokenClassification",
        "AutoProcessor",
    ];
    for (kind, model, own) in cases {
        let right = kind.numbers(&model).unwrap();
        let name = model.display();
        for class in CLASSES {
            let code = |value: Value| with_code(kind, &model, &json!({ class: value }));
            assert!(code(Value::Null).unwrap() == right, "{name}: {class}");
            if class == own || class == "AutoConfig" {
                for named in ["file.Other", "organization/repository--file.Other", "Other", "file.BertModel", ""] {
                    let error = code(json!(named)).unwrap_err();
                    assert!(matches!(error, Error::Unsupported { .. }), "{name}: {error:?}");
                    let message = error.to_string();
                    assert!(message.contains(&format!("auto_map.{class}")) && message.contains(named), "{message}");
                }
                assert!(matches!(code(json!(3)).unwrap_err(), Error::InvalidConfig { .. }), "{name}: {class}");
            } else {
                assert!(code(json!("file.Other")).unwrap() == right, "{name}: {class}");
            }
        }
        for nothing in [Value::Null, json!({}), json!({ "AutoTokenizer": ["file.Tokenizer", null] })] {
            assert!(with_code(kind, &model, &nothing).unwrap() == right, "{name}: {nothing}");
        }
        for wrong in [json!("file.Other"), json!(["file.Other"]), json!(true)] {
            let error = with_code(kind, &model, &wrong).unwrap_err();
            assert!(matches!(error, Error::InvalidConfig { .. }), "{name}: {error:?}");
        }
    }
}

#[test]
fn published_code_that_computes_the_same_loads() {
    let gte = |prefix: &str| {
        json!({
            "AutoConfig": format!("{prefix}configuration_hf_alibaba_nlp_gte.GteConfig"),
            "AutoModel": format!("{prefix}modeling_hf_alibaba_nlp_gte.GteModel"),
        })
    };
    let nomic = "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel";
    let same = [
        ("gte-cls-normalize", gte("")),
        ("gte-cls-normalize", gte("Snowflake/snowflake-arctic-embed-m-v2.0--")),
        ("hub-config-nomic-bert", json!({ "AutoModel": nomic })),
        ("eurobert-mean", json!({ "AutoConfig": "EuroBertConfig", "AutoModel": "modeling_eurobert.EuroBertModel" })),
    ];
    for (case, code) in same {
        let model = tiny(case).model;
        assert!(with_code(Sentence, &model, &code).unwrap() == Sentence.numbers(&model).unwrap(), "{case}: {code}");
    }
    let others = [
        ("bert-mean-normalize", "modeling_hf_alibaba_nlp_gte.GteModel"),
        ("xlm-roberta-mean", "modeling_xlm_roberta.XLMRobertaModel"),
        ("gte-cls-normalize", "Alibaba-NLP/new-impl--modeling.NewModel"),
        ("qwen3-lasttoken-normalize", "modeling.Qwen3BidirectionalModel"),
        ("hub-config-nomic-bert", "modeling.OtherNomicBertModel"),
        ("eurobert-mean", "modeling.Model"),
    ];
    for (case, class) in others {
        let error = with_code(Sentence, &tiny(case).model, &json!({ "AutoModel": class })).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains(class), "{error:?}");
    }
}

/// Rare activations are computed element by element; a text still has the same bits in any batch.
#[test]
fn dense_modules_have_any_activation_of_torchs_that_takes_each_number() {
    type Formula = fn(f64) -> f64;
    let formulas: [(&str, Formula); 5] = [
        ("ELU", |x| if x > 0.0 { x } else { x.exp() - 1.0 }),
        ("Hardtanh", |x| x.clamp(-1.0, 1.0)),
        ("Mish", |x| x * (1.0 + x.exp()).ln().tanh()),
        ("Softshrink", |x| if x.abs() <= 0.5 { 0.0 } else { x - 0.5 * x.signum() }),
        ("SELU", |x| 1.0507009873554805 * (x.max(0.0) + 1.6732632423543772 * (x.min(0.0).exp() - 1.0))),
    ];
    let named = |class: &str| {
        let folder = copied(&tiny("bert-dense-tanh").model);
        edit(&folder.path().join("2_Dense/config.json"), |config| config["activation_function"] = json!(class));
        folder
    };
    for way in ways() {
        let embed = |class: &str| {
            let model = Model::from_dir_with(named(class).path(), &way).unwrap();
            model.encode(&TEXTS, &EncodeOptions::default()).unwrap().into_vec()
        };
        let linear = embed("torch.nn.modules.linear.Identity");
        for (class, formula) in formulas {
            let wanted: Vec<f64> = linear.iter().map(|x| formula(f64::from(*x))).collect();
            let got = embed(&format!("torch.nn.modules.activation.{class}"));
            assert!(largest_difference(&got, &wanted) < 1e-6, "{class} by {}", crate::common::named(&way));
        }
    }
    let folder = named("torch.nn.modules.activation.Hardswish");
    let model = Model::from_dir_with(folder.path(), &native()).unwrap();
    let embed = |texts: &[&str]| model.encode(texts, &EncodeOptions::default()).unwrap();
    assert_eq!(embed(&TEXTS).row(1), embed(&TEXTS[1..]).row(0));
    assert!(Sentence.load(folder.path()).is_ok_and(|[own, saved]| own == saved));
}

const PEFT: &str = r#"{"peft_type": "IA3", "base_model_name_or_path": "org/base", "r": 8}"#;

/// Adapters that can't be merged are named for any other files in the folder. peft's folders usually have only the adapter's weights.
#[test]
fn adapters_are_named_before_anything_else() {
    let named = |error: &Error, what: &str| {
        let message = error.to_string();
        let words = ["adapter_config.json", "IA3", "an adapter", "merge_and_unload"];
        assert!(matches!(error, Error::Unsupported { .. }), "{what}: {error:?}");
        assert!(words.iter().all(|word| message.contains(word)), "{what}: {message}");
    };
    let cases: Vec<_> =
        KINDS.into_iter().flat_map(|kind| kind.cases().into_iter().map(move |case| (kind, case))).collect();
    for (kind, model) in cases {
        let routed = model.join("router_config.json").exists();
        let transformer = match routed {
            true => "document_0_MLMTransformer",
            false if model.ends_with("static-embedding/model") => continue,
            false => "",
        };
        for gone in [
            &[][..],
            &["model.safetensors"],
            &["config.json", "model.safetensors"],
            &["config.json", "model.safetensors", "tokenizer.json", "sentence_bert_config.json"],
        ] {
            let folder = copied(&model);
            let place = |name: &str| folder.path().join(transformer).join(name);
            assert!(place("config.json").exists(), "{}", model.display());
            fs::write(place("adapter_config.json"), PEFT).unwrap();
            fs::write(place("adapter_model.safetensors"), "x").unwrap();
            gone.iter().filter(|name| place(name).exists()).for_each(|name| fs::remove_file(place(name)).unwrap());
            named(&kind.numbers(folder.path()).unwrap_err(), &format!("{kind:?} without {gone:?}"));
            if !routed {
                for name in ["modules.json", "config_sentence_transformers.json"] {
                    let _ = fs::remove_file(folder.path().join(name));
                    named(&kind.numbers(folder.path()).unwrap_err(), &format!("{kind:?} without {name}"));
                }
            }
        }
    }
    // An adapter in the transformer's own folder. sentence-transformers ignores one beside it, too.
    let below = tempfile::tempdir().unwrap();
    let model = tiny("bert-mean-normalize").model;
    copy(&model, &below.path().join("0_Transformer"));
    copy(&model.join("1_Pooling"), &below.path().join("1_Pooling"));
    let class = |name: &str| format!("sentence_transformers.models.{name}");
    let modules = json!([
        { "idx": 0, "name": "0", "path": "0_Transformer", "type": class("Transformer") },
        { "idx": 1, "name": "1", "path": "1_Pooling", "type": class("Pooling") },
    ]);
    fs::write(below.path().join("modules.json"), modules.to_string()).unwrap();
    fs::write(below.path().join("adapter_config.json"), PEFT).unwrap();
    Model::from_dir(below.path()).unwrap();
    fs::write(below.path().join("0_Transformer/adapter_config.json"), PEFT).unwrap();
    named(&Model::from_dir(below.path()).unwrap_err(), "in the transformer's folder");
    // Missing modules follow it.
    edit(&below.path().join("modules.json"), |modules| modules[1]["type"] = json!(class("CNN")));
    named(&Model::from_dir(below.path()).unwrap_err(), "with an unknown module");

    for (content, word) in [("{}", "none"), ("[]", "JSON object"), ("", "not JSON")] {
        let folder = copied(&model);
        fs::write(folder.path().join("adapter_config.json"), content).unwrap();
        let error = Model::from_dir(folder.path()).unwrap_err().to_string();
        assert!(error.contains("adapter_config.json") && error.contains(word), "{error}");
    }
}
