//! Tests of malformed folders: each gives a typed error that names the file and the problem in it.

use std::fs;
use std::path::Path;

use crate::common::{copy, tiny};
use rushlight::{EncodeOptions, Error, Input, LoadOptions, Model};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Copy of a small model, to corrupt.
struct Spoiled(TempDir);

impl Spoiled {
    fn of(case: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&tiny(case).model, folder.path());
        Self(folder)
    }

    fn bert() -> Self {
        Self::of("bert-mean-normalize")
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(self, file: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.path().join(file), content).unwrap();
        self
    }

    fn remove(self, file: &str) -> Self {
        fs::remove_file(self.path().join(file)).unwrap();
        self
    }

    /// Sets a key, or removes it if the value is null.
    fn set(self, file: &str, key: &str, value: Value) -> Self {
        let path = self.path().join(file);
        let mut json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        match value {
            Value::Null => drop(json.as_object_mut().unwrap().remove(key)),
            value => json[key] = value,
        }
        self.write(file, json.to_string())
    }

    /// Sets a key of the tokenizer's model.
    fn set_model(self, key: &str, value: Value) -> Self {
        let tokenizer = fs::read(self.path().join("tokenizer.json")).unwrap();
        let mut model = serde_json::from_slice::<Value>(&tokenizer).unwrap()["model"].take();
        model[key] = value;
        self.set("tokenizer.json", "model", model)
    }

    fn config(self, key: &str, value: Value) -> Self {
        self.set("config.json", key, value)
    }

    fn weights(self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut bytes = fs::read(self.path().join("model.safetensors")).unwrap();
        change(&mut bytes);
        self.write("model.safetensors", bytes)
    }

    /// Keeps only the first positions, in the weights and in the config.
    fn positions(self, count: usize) -> Self {
        let bytes = fs::read(self.path().join("model.safetensors")).unwrap();
        let cut = |(name, view): (String, TensorView<'static>)| {
            if !name.ends_with("position_embeddings.weight") {
                return (name, view);
            }
            let width = view.shape()[1];
            let data = &view.data()[..count * width * size_of::<f32>()];
            (name, TensorView::new(view.dtype(), vec![count, width], data).unwrap())
        };
        let tensors = SafeTensors::deserialize(bytes.leak()).unwrap().tensors();
        let cut = safetensors::serialize(tensors.into_iter().map(cut), None).unwrap();
        self.write("model.safetensors", cut).config("max_position_embeddings", json!(count))
    }

    /// Returns the error of loading the folder. Its message must contain all of `words`.
    fn fails(self, words: &[&str]) -> Error {
        let error = Model::from_dir(self.path()).expect_err("it must not load");
        let message = error.to_string();
        for word in words {
            assert!(message.contains(word), "{word:?} is not in: {message}");
        }
        error
    }
}

macro_rules! assert_is {
    ($error:expr, $pattern:pat) => {
        let error = $error;
        assert!(matches!(error, $pattern), "{error:?}");
    };
}

#[test]
fn the_copy_itself_loads() {
    Model::from_dir(Spoiled::bert().path()).unwrap();
}

#[test]
fn absent_files_are_named() {
    assert_is!(Model::from_dir("no/such/folder").unwrap_err(), Error::ModelNotFound { .. });
    for file in ["config.json", "tokenizer.json", "model.safetensors", "1_Pooling/config.json"] {
        let name = file.rsplit('/').next().unwrap();
        assert_is!(Spoiled::bert().remove(file).fails(&[name]), Error::FileNotFound { .. });
    }
    let dense = Spoiled::of("bert-dense-tanh");
    assert_is!(dense.remove("2_Dense/config.json").fails(&["2_Dense"]), Error::FileNotFound { .. });
    let dense = Spoiled::of("bert-dense-tanh");
    assert_is!(dense.remove("2_Dense/model.safetensors").fails(&["2_Dense"]), Error::FileNotFound { .. });
}

#[test]
fn files_that_are_no_json_or_of_the_wrong_shape_are_named() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_object = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let files = [
        "modules.json",
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "config_sentence_transformers.json",
        "sentence_bert_config.json",
        "1_Pooling/config.json",
        "2_Normalize/config.json",
    ];
    for file in files {
        for wrong in
            ["", "{", "nonsense", "\"text\"", "3", "null", "[1]", "[1, 2]", "[[]]", "\u{0}", &deep, &deep_object]
        {
            let error = Spoiled::bert().write(file, wrong).fails(&[file.rsplit('/').next().unwrap()]);
            let start = &wrong[..wrong.len().min(20)];
            assert!(
                matches!(error, Error::InvalidConfig { .. } | Error::Unsupported { .. }),
                "{file} {start:?}: {error:?}"
            );
        }
        assert_is!(Spoiled::bert().write(file, b"\xff\xfe").fails(&[]), Error::InvalidConfig { .. });
    }
}

#[test]
fn modules_that_are_unknown_or_misplaced_are_named() {
    let modules = |entries: &[(&str, &str)]| {
        let entry = |(path, class): &(&str, &str)| json!({ "path": path, "type": class });
        Spoiled::bert().write("modules.json", Value::from_iter(entries.iter().map(entry)).to_string())
    };
    let (transformer, pooling) = ("sentence_transformers.models.Transformer", "sentence_transformers.models.Pooling");
    for class in ["sentence_transformers.models.CNN", "my.own.Pooling", "sentence_transformers.models.a.b.Pooling", ""]
    {
        let error =
            modules(&[("", transformer), ("1_Pooling", class)]).fails(&["modules.json", "[1].type", "Normalize"]);
        assert_is!(error, Error::Unsupported { .. });
    }
    assert_is!(modules(&[]).fails(&["Transformer"]), Error::Unsupported { .. });
    assert_is!(modules(&[("1_Pooling", pooling)]).fails(&["Transformer"]), Error::Unsupported { .. });
    assert_is!(modules(&[("", transformer)]).fails(&["Pooling"]), Error::InvalidConfig { .. });
    let twice = modules(&[("", transformer), ("1_Pooling", pooling), ("1_Pooling", pooling)]);
    assert_is!(twice.fails(&["Pooling"]), Error::Unsupported { .. });
    for path in ["../outside", "/etc", "1_Pooling/../../x", "a\u{0}b"] {
        let error = modules(&[("", transformer), (path, pooling)]).fails(&["modules.json", "[1].path", "within"]);
        assert_is!(error, Error::InvalidConfig { .. });
    }
    let number = Spoiled::bert().write("modules.json", r#"[{"path": 3, "type": "x"}]"#);
    assert_is!(number.fails(&["modules.json", "[0].path"]), Error::InvalidConfig { .. });
}

#[test]
fn sizes_that_do_not_fit_are_refused_before_anything_is_allocated() {
    for key in [
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "vocab_size",
        "max_position_embeddings",
        "type_vocab_size",
    ] {
        assert_is!(Spoiled::bert().config(key, json!(0)).fails(&["config.json", key]), Error::InvalidConfig { .. });
        for wrong in [json!(-1), json!(1.5), json!("8"), json!([]), json!(1e30)] {
            assert_is!(Spoiled::bert().config(key, wrong).fails(&["config.json", key]), Error::InvalidConfig { .. });
        }
        let huge = Spoiled::bert().config(key, json!(u64::MAX)).fails(&[]);
        assert!(
            matches!(huge, Error::WeightShape { .. } | Error::MissingWeight { .. } | Error::InvalidConfig { .. }),
            "{key}: {huge:?}"
        );
    }
    let error = Spoiled::bert().config("num_attention_heads", json!(5)).fails(&["num_attention_heads", "divide", "32"]);
    assert_is!(error, Error::InvalidConfig { .. });
    assert_is!(
        Spoiled::bert().config("layer_norm_eps", json!(-1)).fails(&["layer_norm_eps"]),
        Error::InvalidConfig { .. }
    );
    let buckets = Spoiled::of("mpnet-cls-dot").config("relative_attention_num_buckets", json!(3));
    assert_is!(buckets.fails(&["relative_attention_num_buckets"]), Error::InvalidConfig { .. });
    let room = Spoiled::of("roberta-mean-normalize").config("max_position_embeddings", json!(2));
    assert_is!(room.fails(&["max_position_embeddings"]), Error::InvalidConfig { .. });
    let room = Spoiled::of("roberta-mean-normalize").config("pad_token_id", json!(u32::MAX));
    assert_is!(room.fails(&["max_position_embeddings"]), Error::InvalidConfig { .. });
}

#[test]
fn positions_that_special_tokens_do_not_fit_in_are_refused() {
    // Padding takes some positions. A pair has three or four special tokens.
    for (case, taken, special) in [
        ("bert-mean-normalize", 0, 3),
        ("distilbert-mean-normalize", 0, 3),
        ("mpnet-cls-dot", 2, 4),
        ("roberta-mean-normalize", 2, 4),
    ] {
        let spoiled = Spoiled::of(case).positions(taken + special - 1);
        let error = spoiled.fails(&["config.json", "max_position_embeddings", "special tokens"]);
        assert_is!(error, Error::InvalidConfig { .. });
        let model = Model::from_dir(Spoiled::of(case).positions(taken + special).path()).unwrap();
        for input in [Input::Text("some text"), Input::Pair("some", "text")] {
            model.encode_inputs(&[input], &EncodeOptions::default()).unwrap();
        }
    }
}

#[test]
fn unsupported_features_are_named_with_the_supported_ones() {
    let model_type = Spoiled::bert().config("model_type", json!("gpt2")).fails(&["model_type", "gpt2", "distilbert"]);
    assert_is!(model_type, Error::Unsupported { .. });
    assert_is!(Spoiled::bert().config("model_type", Value::Null).fails(&["model_type"]), Error::InvalidConfig { .. });
    assert_is!(Spoiled::bert().config("model_type", json!(3)).fails(&["model_type"]), Error::InvalidConfig { .. });
    let refused = [
        ("hidden_act", json!("laplace"), "gelu_new"),
        ("position_embedding_type", json!("relative_key"), "absolute"),
        ("is_decoder", json!(true), "false"),
        ("auto_map", json!({ "AutoModel": "org/other-implementation--modeling_bert.OtherBertModel" }), "auto_map"),
    ];
    for (key, value, supported) in refused {
        let error = Spoiled::bert().config(key, value).fails(&["config.json", key, supported]);
        assert_is!(error, Error::Unsupported { .. });
    }
    let at_random = Spoiled::of("roberta-mean-normalize")
        .set("tokenizer_config.json", "tokenizer_class", json!("TokenizersBackend"))
        .set_model("dropout", json!(0.1));
    assert_is!(at_random.fails(&["tokenizer.json", "model.dropout", "0.1"]), Error::Unsupported { .. });
    let pooling = |key: &str, value: Value| Spoiled::bert().set("1_Pooling/config.json", key, value);
    for mode in [json!("median"), json!([]), json!(["mean", 3]), json!(7)] {
        assert_is!(pooling("pooling_mode", mode).fails(&["pooling_mode", "lasttoken"]), Error::Unsupported { .. });
    }
    assert_is!(
        pooling("pooling_mode", json!(vec!["mean"; 7])).fails(&["pooling_mode", "at most 6", "got 7"]),
        Error::InvalidConfig { .. }
    );
    let old =
        Spoiled::of("legacy-bert-mean-normalize").set("1_Pooling/config.json", "pooling_mode_median", json!(true));
    assert_is!(old.fails(&["pooling_mode_median"]), Error::Unsupported { .. });

    let dense = |key: &str, value: Value| Spoiled::of("bert-dense-tanh").set("2_Dense/config.json", key, value);
    for activation in ["torch.nn.modules.activation.Softmax", "torch.nn.GLU", "os.system", "my.Tanh"] {
        let error = dense("activation_function", json!(activation)).fails(&["activation_function", "Sigmoid"]);
        assert_is!(error, Error::Unsupported { .. });
    }
    assert_is!(
        dense("module_input_name", json!("token_embeddings")).fails(&["module_input_name"]),
        Error::Unsupported { .. }
    );
    assert_is!(dense("in_features", json!(31)).fails(&["in_features", "32"]), Error::InvalidConfig { .. });
    assert_is!(dense("out_features", json!(0)).fails(&["out_features"]), Error::InvalidConfig { .. });
    assert_is!(dense("out_features", json!(23)).fails(&["linear", "[24"]), Error::WeightShape { .. });
    assert_is!(dense("bias", json!(false)).fails(&["linear.bias"]), Error::InvalidWeights { .. });
    let norm = Spoiled::of("bert-layernorm").set("2_LayerNorm/config.json", "dimension", json!(31));
    assert_is!(norm.fails(&["dimension", "32"]), Error::InvalidConfig { .. });

    let sbert = |content: Value| Spoiled::bert().write("sentence_bert_config.json", content.to_string());
    assert_is!(sbert(json!({ "max_seq_length": 0 })).fails(&["max_seq_length"]), Error::InvalidConfig { .. });
    assert_is!(sbert(json!({ "max_seq_len": 5 })).fails(&["max_seq_len"]), Error::InvalidConfig { .. });
    assert_is!(
        sbert(json!({ "transformer_task": "fill-mask" })).fails(&["transformer_task"]),
        Error::Unsupported { .. }
    );
    assert_is!(
        sbert(json!({ "query_expansion": { "length": 3 } })).fails(&["query_expansion"]),
        Error::Unsupported { .. }
    );

    let settings = |key: &str, value: Value| Spoiled::bert().set("config_sentence_transformers.json", key, value);
    assert_is!(
        settings("similarity_fn_name", json!("hamming")).fails(&["similarity_fn_name", "manhattan"]),
        Error::InvalidConfig { .. }
    );
    assert_is!(settings("prompts", json!({ "query": 3 })).fails(&["prompts.query"]), Error::InvalidConfig { .. });
    assert_is!(settings("truncate_dim", json!(0)).fails(&["truncate_dim"]), Error::InvalidConfig { .. });
    assert_is!(settings("model_type", json!("SparseEncoder")).fails(&["model_type"]), Error::Unsupported { .. });
    assert_is!(
        settings("default_prompt_name", json!("nothing")).fails(&["default_prompt_name", "nothing", "query"]),
        Error::InvalidConfig { .. }
    );
}

#[test]
fn weights_that_are_wrong_are_named() {
    let cut = |at: usize| Spoiled::bert().weights(|bytes| bytes.truncate(at));
    let length = fs::metadata(tiny("bert-mean-normalize").model.join("model.safetensors")).unwrap().len() as usize;
    for at in [0, 1, 7, 8, 100, length / 2, length - 1] {
        assert_is!(cut(at).fails(&["model.safetensors"]), Error::InvalidWeights { .. } | Error::Io { .. });
    }
    let huge_header = Spoiled::bert().weights(|bytes| bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes()));
    assert_is!(huge_header.fails(&["model.safetensors"]), Error::InvalidWeights { .. });
    assert_is!(
        Spoiled::bert().weights(|bytes| bytes.push(0)).fails(&["model.safetensors"]),
        Error::InvalidWeights { .. }
    );

    // Changes of the header that keep its length: offsets beyond the file, a renamed tensor, a dtype of the same size.
    let header = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let (from, to) = (from.as_bytes().to_vec(), to.as_bytes().to_vec());
        Spoiled::bert().weights(move |bytes| {
            let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
            bytes[at..at + to.len()].copy_from_slice(&to);
        })
    };
    let word = "embeddings.word_embeddings.weight";
    assert_is!(
        header("data_offsets\":[0,", "data_offsets\":[9,").fails(&["model.safetensors"]),
        Error::InvalidWeights { .. }
    );
    assert_is!(header(word, "embeddings.word_embeddings.weighs").fails(&[word]), Error::MissingWeight { .. });
    assert_is!(header("\"F32\"", "\"I32\"").fails(&["I32", "BF16"]), Error::Unsupported { .. });
    assert_is!(
        Spoiled::bert().config("vocab_size", json!(421)).fails(&[word, "[420, 32]", "[421, 32]", "model.safetensors"]),
        Error::WeightShape { .. }
    );
    assert_is!(
        Spoiled::bert().config("num_hidden_layers", json!(3)).fails(&["encoder.layer.2."]),
        Error::MissingWeight { .. }
    );
}

#[test]
fn shards_that_are_wrong_are_named() {
    for (case, whole, shard) in [
        ("bert-mean-normalize", "model.safetensors", "one.safetensors"),
        ("legacy-bert-mean-normalize", "pytorch_model.bin", "one.bin"),
    ] {
        let sharded = |index: Value| {
            let spoiled = Spoiled::of(case);
            fs::rename(spoiled.path().join(whole), spoiled.path().join(shard)).unwrap();
            spoiled.write(&format!("{whole}.index.json"), index.to_string())
        };
        let map = |file: &str| json!({ "weight_map": { "embeddings.word_embeddings.weight": file } });
        Model::from_dir(sharded(map(shard)).path()).unwrap();
        assert_is!(sharded(map("two.bin")).fails(&["two.bin", "index.json"]), Error::FileNotFound { .. });
        let outside = sharded(map(&format!("../{shard}")));
        assert_is!(outside.fails(&["weight_map", "within"]), Error::InvalidConfig { .. });
        assert_is!(sharded(json!({})).fails(&["weight_map"]), Error::InvalidConfig { .. });
        assert_is!(sharded(json!({ "weight_map": {} })).fails(&["index.json: no tensor"]), Error::MissingWeight { .. });
        let broken = sharded(map(shard)).write(shard, "");
        assert_is!(broken.fails(&[shard, "empty"]), Error::InvalidWeights { .. });
    }
}

/// Git LFS, a web server or an interrupted download can replace a file. The error names the content and the remedy.
#[test]
fn files_of_another_format_are_named() {
    const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 90868376\n";
    const PAGE: &[u8] = b"\n<!DOCTYPE html>\n<html><head><title>Log in</title></head></html>\n";
    let whole = fs::read(tiny("bert-mean-normalize").model.join("model.safetensors")).unwrap();
    let torch = fs::read(tiny("legacy-bert-mean-normalize").model.join("pytorch_model.bin")).unwrap();
    let weights: [(&[u8], &str); 9] = [
        (b"", "empty"),
        (POINTER, "git lfs pull"),
        (PAGE, "a web page"),
        (b"<HTML><body>Bad gateway</body></HTML>", "a web page"),
        (b"\x89HDF\r\n\x1a\n and more of it", "TensorFlow"),
        (b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0", "llama.cpp"),
        (b"{\"error\": \"Entry not found\"}", "ended early"),
        (&[0; 5000], "ended early"),
        (&whole[..whole.len() / 2], "ended early"),
    ];
    for (content, what) in weights {
        let error = Spoiled::bert().write("model.safetensors", content).fails(&["model.safetensors", what]);
        assert_is!(error, Error::InvalidWeights { .. });
        if content.len() < 5001 {
            let spoiled = Spoiled::of("legacy-bert-mean-normalize").write("pytorch_model.bin", content);
            assert_is!(spoiled.fails(&["pytorch_model.bin", what]), Error::InvalidWeights { .. });
        }
    }
    let cut = Spoiled::of("legacy-bert-mean-normalize").write("pytorch_model.bin", &torch[..torch.len() - 30]);
    assert_is!(cut.fails(&["pytorch_model.bin", "ended early"]), Error::InvalidWeights { .. });
    let swapped = Spoiled::bert().write("model.safetensors", &torch);
    assert_is!(swapped.fails(&["model.safetensors: a file of torch.save"]), Error::InvalidWeights { .. });
    let swapped = Spoiled::of("legacy-bert-mean-normalize").write("pytorch_model.bin", &whole);
    assert_is!(swapped.fails(&["pytorch_model.bin: a safetensors file"]), Error::InvalidWeights { .. });

    // Files that are read as a whole. A Git LFS pointer would parse as a vocabulary of three words.
    let cases = [
        ("bert-mean-normalize", "config.json"),
        ("bert-mean-normalize", "modules.json"),
        ("bert-mean-normalize", "tokenizer.json"),
        ("bert-mean-normalize", "1_Pooling/config.json"),
        ("vocab-only-bert", "vocab.txt"),
    ];
    for (case, file) in cases {
        for (content, what) in [(POINTER, "git lfs pull"), (PAGE, "a web page")] {
            let error = Spoiled::of(case).write(file, content).fails(&[file, what]);
            assert_is!(error, Error::InvalidConfig { .. });
        }
    }
}

#[test]
fn weights_in_other_formats_are_named_where_none_are_found() {
    let without = || Spoiled::bert().remove("model.safetensors");
    let bare = without().fails(&["model.safetensors", "pytorch_model.bin, pytorch_model.bin.index.json"]).to_string();
    assert!(!bare.contains("isn't read"), "{bare}");
    for file in [
        "tf_model.h5",
        "flax_model.msgpack",
        "onnx/model_O2.onnx",
        "openvino/openvino_model.xml",
        "model-q4.gguf",
        "rust_model.ot",
        "model.fp16.safetensors",
        "pytorch_model-00001-of-00002.bin",
        "adapter_model.safetensors",
    ] {
        let spoiled = without();
        fs::create_dir_all(spoiled.path().join(file).parent().unwrap()).unwrap();
        let spoiled = spoiled.write(file, "x").write("training_args.bin", "x");
        let error = spoiled.fails(&[&format!("isn't read: {file};"), "save_pretrained"]);
        assert_is!(error, Error::FileNotFound { .. });
    }
    let dense = Spoiled::of("bert-dense-tanh").remove("2_Dense/model.safetensors").write("2_Dense/x.onnx", "x");
    assert_is!(dense.fails(&["2_Dense", "x.onnx"]), Error::FileNotFound { .. });
}

/// The architecture is checked before the files that only supported architectures have.
#[test]
fn unknown_architectures_are_named_before_missing_files() {
    for file in ["model.safetensors", "tokenizer.json", "1_Pooling/config.json"] {
        let spoiled = Spoiled::bert().config("model_type", json!("mamba2")).remove(file);
        assert_is!(spoiled.fails(&["model_type", "mamba2"]), Error::Unsupported { .. });
        let spoiled = Spoiled::bert().config("auto_map", json!({ "AutoModel": "m.OtherBertModel" })).remove(file);
        assert_is!(spoiled.fails(&["auto_map", "OtherBertModel"]), Error::Unsupported { .. });
    }
}

#[test]
fn a_malicious_pickle_is_refused() {
    // cos\nsystem\n(S'echo'\ntR.  as protocol 2, in torch's legacy container as well as bare.
    let bare = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00echo\x85R.".to_vec();
    for content in [bare, b"".to_vec(), b"PK\x03\x04".to_vec(), b"nonsense".to_vec()] {
        let spoiled = Spoiled::of("legacy-bert-mean-normalize").write("pytorch_model.bin", content);
        assert_is!(spoiled.fails(&["pytorch_model.bin"]), Error::InvalidWeights { .. });
    }
    let whole = fs::read(tiny("legacy-bert-mean-normalize").model.join("pytorch_model.bin")).unwrap();
    for at in [10, whole.len() / 3, whole.len() - 10] {
        let spoiled = Spoiled::of("legacy-bert-mean-normalize").write("pytorch_model.bin", &whole[..at]);
        assert_is!(spoiled.fails(&["pytorch_model.bin"]), Error::InvalidWeights { .. });
    }
}

#[test]
fn ids_beyond_the_embedding_table_are_an_error_of_their_text() {
    let spoiled = Spoiled::bert();
    let path = spoiled.path().join("tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    tokenizer["added_tokens"].as_array_mut().unwrap().push(json!({
        "id": 420, "content": "zzyzx", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        "special": true
    }));
    let spoiled = spoiled.write("tokenizer.json", tokenizer.to_string());
    let model = Model::from_dir(spoiled.path()).unwrap();
    let encode = |texts: &[&str]| model.encode(texts, &EncodeOptions::default());
    encode(&["fine"]).unwrap();
    let error = encode(&["fine", "fine", "here zzyzx is"]).unwrap_err();
    assert!(matches!(error, Error::InvalidInput { index: 2, .. }), "{error:?}");
    assert!(error.to_string().contains("420"), "{error}");
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let folder = tiny("bert-mean-normalize").model;
    let with = |options: LoadOptions| Model::from_dir_with(&folder, &options).unwrap_err();
    let limit = with(LoadOptions::default().with_max_seq_length(141));
    assert!(limit.to_string().contains("from 1 to 140"), "{limit}");
    assert_is!(with(LoadOptions::default().with_max_seq_length(0)), Error::InvalidArgument { .. });
    assert_is!(with(LoadOptions::default().with_truncate_dim(0)), Error::InvalidArgument { .. });
    let prompt = with(LoadOptions::default().with_default_prompt_name("x"));
    assert!(prompt.to_string().contains("\"query\""), "{prompt}");
}

#[cfg(unix)]
#[test]
fn special_files_are_refused() {
    for file in ["config.json", "tokenizer_config.json", "model.safetensors"] {
        let spoiled = Spoiled::bert().remove(file);
        std::os::unix::fs::symlink("/dev/zero", spoiled.path().join(file)).unwrap();
        assert_is!(spoiled.fails(&[file, "plain file"]), Error::Io { .. });
        let spoiled = Spoiled::bert().remove(file);
        fs::create_dir(spoiled.path().join(file)).unwrap();
        assert_is!(spoiled.fails(&[file, "plain file"]), Error::Io { .. });
    }
}
