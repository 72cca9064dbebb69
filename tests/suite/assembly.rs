//! Tests of assembled models: a transformer with other modules than its folder lists.

use std::fs;
use std::path::Path;

use crate::common::{copy, data};
use rushlight::{BackboneOptions, EncodeOptions, Error, Input, LoadOptions, Model, PoolingMode};
use serde_json::{Value, json};

fn folder(case: &str) -> std::path::PathBuf {
    data().join("tiny").join(case).join("model")
}

fn assembled(case: &str, assembly: &BackboneOptions) -> rushlight::Result<Model> {
    Model::from_backbone_dir(folder(case), assembly, &LoadOptions::default())
}

const TEXTS: [&str; 3] = ["The weather is lovely today.", "", "A small lamp lights the room, and then some."];

fn embed(model: &Model) -> Vec<f32> {
    model.encode(&TEXTS, &EncodeOptions::default()).unwrap().into_vec()
}

/// A folder that lists the same modules gives the same bits.
#[test]
fn the_modules_of_a_folder_make_the_folders_model() {
    let mean = BackboneOptions::default().with_normalize(true);
    let cls = mean.clone().with_pooling(vec![PoolingMode::Cls]);
    let dense = folder("bert-cls-dense-normalize").join("2_Dense");
    for (case, assembly) in [
        ("bert-mean-normalize", mean.clone()),
        ("bert-cls-dense-normalize", cls.clone().with_dense(vec![dense])),
        ("modernbert-cls-normalize", cls),
        ("roberta-mean-normalize", mean),
    ] {
        let expected = embed(&Model::from_dir(folder(case)).unwrap());
        assert_eq!(embed(&assembled(case, &assembly).unwrap()), expected, "{case}");
    }
}

/// Computes each pooling mode from token embeddings, in float64.
#[test]
fn any_pooling_can_be_requested() {
    let tokens = Model::from_dir(folder("bert-mean-normalize")).unwrap();
    let tokens = tokens.encode_tokens(&TEXTS.map(Input::from), &EncodeOptions::default()).unwrap();
    let modes = PoolingMode::ALL.to_vec();
    let together = assembled("bert-mean-normalize", &BackboneOptions::default().with_pooling(modes)).unwrap();
    let width = together.hidden_size();
    assert_eq!(together.embedding_dimension(), 6 * width);
    let together = embed(&together);
    for (i, mode) in PoolingMode::ALL.into_iter().enumerate() {
        let alone = assembled("bert-mean-normalize", &BackboneOptions::default().with_pooling(vec![mode])).unwrap();
        let alone = embed(&alone);
        for (text, encoding) in tokens.iter().enumerate() {
            let rows: Vec<_> = encoding.token_embeddings.chunks(width).collect();
            let got = &alone[text * width..][..width];
            assert_eq!(got, &together[text * 6 * width + i * width..][..width], "{mode}");
            for (column, got) in got.iter().enumerate() {
                let of = |row: &[f32]| f64::from(row[column]);
                let sum = |weight: &dyn Fn(usize) -> f64| -> f64 {
                    rows.iter().enumerate().map(|(i, row)| of(row) * weight(i)).sum()
                };
                let count = rows.len() as f64;
                let expected = match mode {
                    PoolingMode::Cls => of(rows[0]),
                    PoolingMode::Max => rows.iter().map(|row| of(row)).fold(f64::NEG_INFINITY, f64::max),
                    PoolingMode::Mean => sum(&|_| 1.0) / count,
                    PoolingMode::MeanSqrtLen => sum(&|_| 1.0) / count.sqrt(),
                    PoolingMode::WeightedMean => sum(&|i| i as f64 + 1.0) / (count * (count + 1.0) / 2.0),
                    PoolingMode::LastToken => of(rows[rows.len() - 1]),
                };
                assert!((f64::from(*got) - expected).abs() < 1e-5, "{mode}: {got} {expected}");
            }
        }
    }
}

/// A model of the first layers equals a folder whose config.json has that number of layers. So does its saved folder.
#[test]
fn the_first_layers_are_a_model_of_their_own() {
    for (case, key, modes) in [
        ("bert-mean-normalize", "num_hidden_layers", vec![PoolingMode::Mean]),
        ("distilbert-mean-normalize", "n_layers", vec![PoolingMode::Cls]),
        ("t5-mean-dense-normalize", "num_layers", vec![PoolingMode::Mean]),
        ("albert-mean", "num_hidden_layers", vec![PoolingMode::Mean]),
        ("modernbert-mean", "num_hidden_layers", vec![PoolingMode::Mean, PoolingMode::Max]),
        ("hub-config-nomic-bert", "n_layer", vec![PoolingMode::Mean]),
        ("gemma3-mean-dense2-normalize", "num_hidden_layers", vec![PoolingMode::Mean]),
        ("qwen3-lasttoken-normalize", "num_hidden_layers", vec![PoolingMode::LastToken]),
    ] {
        let cut = tempfile::tempdir().unwrap();
        copy(&folder(case), cut.path());
        let file = cut.path().join("config.json");
        let mut config: Value = crate::common::json(&file);
        assert!(config[key].as_u64().unwrap() > 1, "{case}");
        config[key] = 1.into();
        if config.get("layer_types").is_some() {
            config["layer_types"] = json!([config["layer_types"][0]]);
        }
        fs::write(&file, config.to_string()).unwrap();

        let whole = BackboneOptions::default().with_pooling(modes);
        let expected = Model::from_backbone_dir(cut.path(), &whole, &LoadOptions::default()).unwrap();
        let expected = embed(&expected);
        assert_ne!(expected, embed(&assembled(case, &whole).unwrap()), "{case}");
        let model = assembled(case, &whole.with_num_hidden_layers(1)).unwrap();
        assert_eq!(embed(&model), expected, "{case}");

        let saved = tempfile::tempdir().unwrap();
        model.save(saved.path()).unwrap();
        assert_eq!(embed(&Model::from_dir(saved.path()).unwrap()), expected, "{case}");
        assert_eq!(crate::common::json::<Value>(&saved.path().join("config.json"))[key], 1, "{case}");
        let size = |folder: &Path| fs::metadata(folder.join("model.safetensors")).unwrap().len();
        let shared = case == "albert-mean";
        assert_eq!(size(saved.path()) < size(&folder(case)) * 9 / 10, !shared, "{case}");
    }
}

#[test]
fn a_saved_assembly_has_the_requested_modules() {
    let dense = folder("bert-cls-dense-normalize").join("2_Dense");
    let pooling = vec![PoolingMode::LastToken, PoolingMode::Cls];
    let plain =
        BackboneOptions::default().with_pooling(vec![PoolingMode::Max]).with_dense(vec![dense]).with_normalize(true);
    for assembly in [plain, BackboneOptions::default().with_pooling(pooling)] {
        let options = LoadOptions::default().with_max_seq_length(7);
        let model = Model::from_backbone_dir(folder("bert-mean-normalize"), &assembly, &options).unwrap();
        let saved = tempfile::tempdir().unwrap();
        model.save(saved.path()).unwrap();
        let again = Model::from_dir(saved.path()).unwrap();
        assert_eq!((embed(&again), again.max_seq_length()), (embed(&model), Some(7)));
    }
}

#[test]
fn unsupported_combinations_are_refused() {
    let refused = |case: &str, assembly: BackboneOptions| assembled(case, &assembly).map(drop).unwrap_err();
    let argument = |error: Error| match error {
        Error::InvalidArgument { argument, .. } => argument,
        other => panic!("{other}"),
    };
    let case = "bert-mean-normalize";
    assert_eq!(argument(refused(case, BackboneOptions::default().with_pooling(Vec::new()))), "pooling");
    assert_eq!(argument(refused(case, BackboneOptions::default().with_pooling(vec![PoolingMode::Max; 7]))), "pooling");
    for layers in [0, 99] {
        let error = refused(case, BackboneOptions::default().with_num_hidden_layers(layers));
        assert_eq!(argument(error), "num_hidden_layers");
    }
    let nowhere = BackboneOptions::default().with_dense(vec!["nowhere".into()]);
    assert!(matches!(refused(case, nowhere), Error::FileNotFound { .. }));
    // This Dense has another width, because it follows two pooling modes.
    let dense = vec![folder("bert-cls-dense-normalize").join("2_Dense")];
    let wide = BackboneOptions::default().with_pooling(vec![PoolingMode::Max, PoolingMode::Cls]).with_dense(dense);
    assert!(matches!(refused(case, wide), Error::InvalidConfig { key, .. } if key == "in_features"));
    assert!(matches!(refused("static-embedding", BackboneOptions::default()), Error::Unsupported { .. }));
    assert_eq!(argument("sum".parse::<PoolingMode>().unwrap_err()), "pooling");
}
