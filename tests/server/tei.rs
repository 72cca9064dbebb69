//! TEI's routes, and the reranking of Cohere, Jina and vLLM.

use rushlight::{
    EncodeOptions, Input, Model, MultiVectorModel, MultiVectorOptions, PredictOptions, Reranker, ScoreActivation,
    Similarity, SparseModel, SparseOptions, TruncationSide, vectors,
};
use serde_json::{Value, json};

use crate::http::{floats, get, post};
use crate::{folder, options, serve};

const TEXTS: [&str; 2] = ["the cat sat", "a dog ran over the hill"];

fn sentence() -> Model {
    Model::from_dir(folder("tiny/bert-mean-normalize")).unwrap()
}

fn rows(value: &Value) -> Vec<Vec<f32>> {
    value.as_array().unwrap().iter().map(floats).collect()
}

#[test]
fn embed_takes_one_text_or_several_at_both_paths() {
    let (server, model) = (serve(options()), sentence());
    let expected = model.encode(&TEXTS, &EncodeOptions::default().with_normalize_embeddings(true)).unwrap();
    let expected: Vec<_> = expected.rows().map(<[f32]>::to_vec).collect();
    for path in ["/embed", "/", "/sentence/embed", "/sentence"] {
        let answer = post(server.url(), path, &json!({ "inputs": TEXTS }));
        assert!(answer.header("x-inference-time").is_some() && answer.header("x-request-id").is_some());
        assert_eq!(rows(&answer.ok()), expected, "{path}");
    }
    assert_eq!(rows(&post(server.url(), "/embed", &json!({ "inputs": TEXTS[0] })).ok()), expected[..1]);
    let plain = post(server.url(), "/embed", &json!({ "inputs": TEXTS, "normalize": false, "dimensions": 5 })).ok();
    let expected = model.encode(&TEXTS, &EncodeOptions::default().with_truncate_dim(5)).unwrap();
    assert_eq!(rows(&plain), expected.rows().map(<[f32]>::to_vec).collect::<Vec<_>>());
}

#[test]
fn truncation_is_asked_for_and_has_a_side() {
    let server = serve(options().with_max_batch_tokens(6));
    let mut model = sentence();
    model.set_max_seq_length(6).unwrap();
    let long = "the cat sat over the hill and the dog ran";
    for (direction, side) in [("Left", TruncationSide::Left), ("right", TruncationSide::Right)] {
        let options = EncodeOptions::default().with_normalize_embeddings(true).with_truncation_side(side);
        let body = json!({ "inputs": long, "truncate": true, "truncation_direction": direction });
        assert_eq!(rows(&post(server.url(), "/embed", &body).ok())[0], model.encode_one(long, &options).unwrap());
    }
    let refused = post(server.url(), "/embed", &json!({ "inputs": long, "truncate": false }));
    assert_eq!((refused.status, &refused.json()["error_type"]), (422, &json!("Validation")));
    let error = refused.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("more than max_seq_length, 6"), "{error}");
}

#[test]
fn embed_all_gives_a_vector_a_token() {
    let server = serve(options());
    let answer = post(server.url(), "/embed_all", &json!({ "inputs": TEXTS })).ok();
    let expected = sentence().encode_tokens(&TEXTS.map(Input::Text), &EncodeOptions::default()).unwrap();
    for (text, expected) in answer.as_array().unwrap().iter().zip(&expected) {
        assert_eq!(rows(text).concat(), expected.token_embeddings);
        assert_eq!(text.as_array().unwrap().len(), expected.input_ids.len());
    }
    let late = MultiVectorModel::from_dir(folder("multi_vector/multivector-native-bert")).unwrap();
    let answer = post(server.url(), "/late/embed_all", &json!({ "inputs": TEXTS })).ok();
    let expected = late.encode_document(&TEXTS, &MultiVectorOptions::default()).unwrap();
    for (text, expected) in answer.as_array().unwrap().iter().zip(&expected) {
        assert_eq!(rows(text).concat(), expected.as_slice());
    }
}

#[test]
fn embed_sparse_gives_index_and_value() {
    let server = serve(options());
    let expected = SparseModel::from_dir(folder("sparse/splade-bert-max")).unwrap();
    let expected = expected.encode(&TEXTS, &SparseOptions::default()).unwrap();
    for path in ["/embed_sparse", "/sparse"] {
        let answer = post(server.url(), path, &json!({ "inputs": TEXTS })).ok();
        for (row, (indices, values)) in answer.as_array().unwrap().iter().zip(expected.rows()) {
            let row = row.as_array().unwrap();
            assert_eq!(row.iter().map(|x| x["index"].as_i64().unwrap() as i32).collect::<Vec<_>>(), indices);
            assert_eq!(row.iter().map(|x| x["value"].as_f64().unwrap() as f32).collect::<Vec<_>>(), values);
        }
    }
}

#[test]
fn similarity_is_the_cosine() {
    let server = serve(options());
    let rows = sentence().encode(&[TEXTS[0], TEXTS[1], "a"], &EncodeOptions::default()).unwrap();
    let all = vectors::similarity(Similarity::Cosine, &rows, &rows, &Default::default()).unwrap();
    let body = json!({ "inputs": { "source_sentence": TEXTS[0], "sentences": [TEXTS[1], "a"] } });
    for path in ["/similarity", "/"] {
        assert_eq!(floats(&post(server.url(), path, &body).ok()), all.row(0)[1..]);
    }
    assert_eq!(floats(&post(server.url(), "/late/similarity", &body).ok()).len(), 2);
    assert_eq!(floats(&post(server.url(), "/sparse/similarity", &body).ok()).len(), 2);
}

/// Returns the scores of the reranker, in the order of the documents.
fn scores(documents: &[&str], activation: ScoreActivation) -> Vec<f32> {
    let reranker = Reranker::from_dir(folder("rerank/rerank-bert")).unwrap();
    let pairs: Vec<_> = documents.iter().map(|document| ("a query", *document)).collect();
    reranker.predict(&pairs, &PredictOptions::default().with_activation(activation)).unwrap().into_vec()
}

const DOCUMENTS: [&str; 3] = ["the cat sat", "a dog ran", "over the hill"];

#[test]
fn rerank_in_the_form_of_tei() {
    let server = serve(options());
    for (raw, activation) in [(false, ScoreActivation::Sigmoid), (true, ScoreActivation::Identity)] {
        let expected = scores(&DOCUMENTS, activation);
        let body = json!({ "query": "a query", "texts": DOCUMENTS, "raw_scores": raw, "return_text": raw });
        for path in ["/rerank", "/reranker"] {
            let answer = post(server.url(), path, &body).ok();
            let ranks = answer.as_array().unwrap();
            assert_eq!(ranks.len(), 3);
            assert!(ranks.windows(2).all(|pair| pair[0]["score"].as_f64() >= pair[1]["score"].as_f64()));
            for rank in ranks {
                let index = rank["index"].as_u64().unwrap() as usize;
                assert_eq!(rank["score"].as_f64().unwrap() as f32, expected[index]);
                assert_eq!(rank.get("text").and_then(Value::as_str), raw.then_some(DOCUMENTS[index]));
            }
        }
    }
    let wrong = post(server.url(), "/sentence/rerank", &json!({ "query": "a", "texts": ["b"] }));
    assert_eq!((wrong.status, &wrong.json()["error_type"]), (424, &json!("Backend")));
}

#[test]
fn rerank_in_the_form_of_cohere_and_jina() {
    let server = serve(options());
    let expected = scores(&DOCUMENTS, ScoreActivation::Sigmoid);
    let documents = json!([DOCUMENTS[0], { "text": DOCUMENTS[1] }, DOCUMENTS[2]]);
    for path in ["/rerank", "/v1/rerank", "/v2/rerank"] {
        let body = json!({ "model": "reranker", "query": "a query", "documents": documents, "top_n": 2, "return_documents": true });
        let answer = post(server.url(), path, &body).ok();
        assert!(answer["id"].is_string() && answer["usage"]["total_tokens"].as_u64().unwrap() > 10);
        assert!(answer["meta"]["billed_units"]["search_units"].is_number());
        assert_eq!(answer["model"], "reranker");
        let results = answer["results"].as_array().unwrap();
        assert_eq!(results.len(), 2);
        for result in results {
            let index = result["index"].as_u64().unwrap() as usize;
            assert_eq!(result["relevance_score"].as_f64().unwrap() as f32, expected[index]);
            assert_eq!(result["document"]["text"], DOCUMENTS[index]);
        }
    }
    for model in ["sentence", "sparse", "late"] {
        let answer = post(server.url(), "/v1/rerank", &json!({ "model": model, "query": "a", "documents": DOCUMENTS }));
        assert_eq!(answer.ok()["results"].as_array().unwrap().len(), 3, "{model}");
    }
    for (body, status) in [
        (json!({ "query": "a" }), 422),
        (json!({ "query": "a", "documents": ["b"], "texts": ["b"] }), 422),
        (json!({ "query": "a", "documents": [] }), 400),
        (json!({ "query": "", "documents": ["b"] }), 400),
        (json!({ "query": "a", "documents": ["b"], "top_n": 0 }), 422),
        (json!({ "query": "a", "documents": [{ "title": "b" }] }), 422),
    ] {
        assert_eq!(post(server.url(), "/v1/rerank", &body).status, status, "{body}");
    }
}

#[test]
fn score_pairs_one_with_many_or_each_with_its_own() {
    let server = serve(options());
    let expected = scores(&DOCUMENTS, ScoreActivation::Sigmoid);
    for (first, path) in [(json!("a query"), "/score"), (json!(["a query", "a query", "a query"]), "/v1/score")] {
        let answer = post(server.url(), path, &json!({ "text_1": first, "text_2": DOCUMENTS })).ok();
        let data = answer["data"].as_array().unwrap();
        let scores: Vec<_> = data.iter().map(|item| item["score"].as_f64().unwrap() as f32).collect();
        assert_eq!(scores, expected);
        assert_eq!((&data[2]["index"], &data[2]["object"]), (&json!(2), &json!("score")));
    }
    assert_eq!(post(server.url(), "/score", &json!({ "text_1": ["a", "b"], "text_2": ["a"] })).status, 422);
    for model in ["sentence", "sparse", "late"] {
        let body = json!({ "model": model, "text_1": "a", "text_2": ["a", "b"] });
        assert_eq!(post(server.url(), "/score", &body).ok()["data"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn predict_gives_labels() {
    let server = serve(options());
    let classifier = Reranker::from_dir(folder("rerank/rerank-bert-3-labels")).unwrap();
    let inputs = [Input::Text("a cat"), Input::Pair("a cat", "a dog")];
    let expected = |activation: ScoreActivation| {
        let options = PredictOptions::default().with_activation(activation);
        classifier.predict_inputs(&inputs, &options).unwrap().0
    };
    let check = |answer: &Value, row: &[f32]| {
        let predictions = answer.as_array().unwrap();
        assert_eq!(predictions.len(), 3);
        for prediction in predictions {
            let label = prediction["label"].as_str().unwrap().strip_prefix("LABEL_").unwrap();
            assert_eq!(prediction["score"].as_f64().unwrap() as f32, row[label.parse::<usize>().unwrap()]);
        }
        assert!(predictions[0]["score"].as_f64() >= predictions[2]["score"].as_f64());
    };
    let softmax = expected(ScoreActivation::Softmax);
    let predict = |inputs: Value| post(server.url(), "/predict", &json!({ "inputs": inputs })).ok();
    check(&predict(json!("a cat")), softmax.row(0));
    check(&predict(json!(["a cat", "a dog"])), softmax.row(1));
    let batch = predict(json!([["a cat"], ["a cat", "a dog"]]));
    check(&batch[0], softmax.row(0));
    check(&batch[1], softmax.row(1));
    check(&post(server.url(), "/classifier", &json!({ "inputs": "a cat" })).ok(), softmax.row(0));
    let raw = post(server.url(), "/predict", &json!({ "inputs": "a cat", "raw_scores": true })).ok();
    check(&raw, expected(ScoreActivation::Identity).row(0));
    assert_eq!(post(server.url(), "/predict", &json!({ "inputs": [["a", "b", "c"]] })).status, 422);
    assert_eq!(post(server.url(), "/sentence/predict", &json!({ "inputs": "a" })).status, 424);
}

#[test]
fn tokens_there_and_back() {
    let (server, model) = (serve(options()), sentence());
    let text = "The cat, ÜBER Hill";
    let answer = post(server.url(), "/tokenize", &json!({ "inputs": [text] })).ok();
    let tokens = answer[0].as_array().unwrap();
    let ids: Vec<u32> = tokens.iter().map(|token| token["id"].as_u64().unwrap() as u32).collect();
    assert_eq!(ids, model.tokenize(&[Input::Text(text)]).unwrap()[0].ids);
    assert_eq!((&tokens[0]["special"], &tokens[0]["start"]), (&json!(true), &Value::Null));
    let characters: Vec<char> = text.chars().collect();
    for token in &tokens[1..tokens.len() - 1] {
        let range = token["start"].as_u64().unwrap() as usize..token["stop"].as_u64().unwrap() as usize;
        assert_eq!(token["text"], characters[range].iter().collect::<String>());
    }
    let bare = post(server.url(), "/tokenize", &json!({ "inputs": text, "add_special_tokens": false })).ok();
    assert_eq!(bare[0].as_array().unwrap().len(), tokens.len() - 2);
    let decoded = post(server.url(), "/decode", &json!({ "ids": ids })).ok();
    assert_eq!(decoded, json!([model.tokenizer().decode(&ids, true).unwrap()]));
    let decoded = post(server.url(), "/decode", &json!({ "ids": [ids], "skip_special_tokens": false })).ok();
    assert_eq!(decoded, json!([model.tokenizer().decode(&ids, false).unwrap()]));
    assert_eq!(post(server.url(), "/decode", &json!({ "ids": [] })).status, 400);
}

#[test]
fn info_tells_of_model_and_limits() {
    let server = serve(options().with_max_client_batch_size(7));
    let info = get(server.url(), "/info").ok();
    for key in [
        "model_id",
        "model_sha",
        "model_dtype",
        "model_type",
        "served_model_name",
        "max_concurrent_requests",
        "max_input_length",
        "max_batch_tokens",
        "max_batch_requests",
        "max_client_batch_size",
        "auto_truncate",
        "tokenization_workers",
        "version",
    ] {
        assert!(info.get(key).is_some(), "{key}");
    }
    assert_eq!(info["model_type"], json!({ "embedding": { "pooling": "mean" } }));
    assert_eq!((&info["max_client_batch_size"], &info["model_dtype"]), (&json!(7), &json!("float32")));
    let labels = &get(server.url(), "/classifier/info").ok()["model_type"]["classifier"];
    assert_eq!((&labels["id2label"]["2"], &labels["label2id"]["LABEL_2"]), (&json!("LABEL_2"), &json!(2)));
    assert!(get(server.url(), "/reranker/info").ok()["model_type"]["reranker"].is_object());
}
