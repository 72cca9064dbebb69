//! Tests against a second, independent reference: candle-transformers' own models, token by token.

use crate::common::{Case, named, tiny, ways};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{bert, xlm_roberta};
use rushlight::{EncodeOptions, Input, Model};
use serde_json::{Value, json};

/// Returns the token embeddings of one text's ids, `(1, tokens, hidden)`.
type Forward = Box<dyn Fn(&Tensor) -> candle_core::Result<Tensor>>;

fn weights(case: &Case) -> VarBuilder<'static> {
    let tensors = candle_core::safetensors::load(case.model.join("model.safetensors"), &Device::Cpu).unwrap();
    VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)
}

fn config(case: &Case) -> Value {
    let mut config: Value = serde_json::from_slice(&std::fs::read(case.model.join("config.json")).unwrap()).unwrap();
    config["position_embedding_type"] = json!("absolute");
    config
}

fn candle_bert(case: &Case) -> Forward {
    let config: bert::Config = serde_json::from_value(config(case)).unwrap();
    let model = bert::BertModel::load(weights(case), &config).unwrap();
    Box::new(move |ids| model.forward(ids, &ids.zeros_like()?, None))
}

fn candle_xlm_roberta(case: &Case) -> Forward {
    let config: xlm_roberta::Config = serde_json::from_value(config(case)).unwrap();
    let model = xlm_roberta::XLMRobertaModel::new(&config, weights(case)).unwrap();
    Box::new(move |ids| model.forward(ids, &ids.ones_like()?, &ids.zeros_like()?, None, None, None))
}

fn check(case: &Case, oracle: &Forward) {
    for way in ways() {
        let model = Model::from_dir_with(&case.model, &way).unwrap();
        // candle's XLM-R masks a literal padding token; the reference doesn't.
        let texts: Vec<_> = case.texts.iter().filter(|text| !text.contains("<pad>")).collect();
        let inputs: Vec<_> = texts.iter().map(|text| Input::Text(text)).collect();
        for encoding in model.encode_tokens(&inputs, &EncodeOptions::default()).unwrap() {
            let ids = Tensor::new(encoding.input_ids.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
            let truth: Vec<f32> = oracle(&ids).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            assert_eq!(truth.len(), encoding.token_embeddings.len());
            for (got, want) in encoding.token_embeddings.iter().zip(&truth) {
                assert!((got - want).abs() < 2e-5, "{} by {}: {got}, not {want}", case.name, named(&way));
            }
        }
    }
}

#[test]
fn bert_agrees_with_candle_transformers() {
    for name in ["bert-mean-normalize", "bert-relu-eps", "bert-unigram"] {
        let case = tiny(name);
        check(&case, &candle_bert(&case));
    }
}

#[test]
fn xlm_roberta_agrees_with_candle_transformers() {
    for name in ["xlm-roberta-mean", "xlm-roberta-cls-normalize"] {
        let case = tiny(name);
        check(&case, &candle_xlm_roberta(&case));
    }
}
