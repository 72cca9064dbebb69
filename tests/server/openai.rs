//! OpenAI's routes.

use base64::Engine as _;
use rushlight::{EncodeOptions, Input, Model, Role};
use serde_json::json;

use crate::http::{floats, get, post};
use crate::{folder, options, serve};

fn model() -> Model {
    Model::from_dir(folder("tiny/bert-mean-normalize")).unwrap()
}

fn unit() -> EncodeOptions<'static> {
    EncodeOptions::default().with_normalize_embeddings(true)
}

#[test]
fn embeddings_have_the_bits_of_the_library_in_both_formats() {
    let server = serve(options());
    let (texts, model) = (["the cat sat", "a dog ran over the hill"], model());
    let expected = model.encode(&texts, &unit()).unwrap();
    let answer = post(server.url(), "/v1/embeddings", &json!({ "input": texts, "model": "sentence" })).ok();
    assert_eq!((&answer["object"], &answer["model"]), (&json!("list"), &json!("sentence")));
    let tokens: usize = model.count_tokens(&texts.map(Input::Text)).unwrap().iter().sum();
    assert_eq!(answer["usage"], json!({ "prompt_tokens": tokens, "total_tokens": tokens }));
    let body = json!({ "input": texts, "encoding_format": "base64", "user": "someone" });
    let encoded = post(server.url(), "/embeddings", &body).ok();
    for (i, row) in expected.rows().enumerate() {
        let item = &answer["data"][i];
        assert_eq!((&item["object"], &item["index"]), (&json!("embedding"), &json!(i)));
        assert_eq!(floats(&item["embedding"]), row);
        let text = encoded["data"][i]["embedding"].as_str().unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        assert_eq!(bytes, row.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>());
    }
}

#[test]
fn one_text_ids_dimensions_and_no_normalizing() {
    let (server, model) = (serve(options()), model());
    let embed = |body| floats(&post(server.url(), "/v1/embeddings", &body).ok()["data"][0]["embedding"]);
    let expected = |options: &EncodeOptions<'_>| model.encode_one("the cat sat", options).unwrap();
    assert_eq!(embed(json!({ "input": "the cat sat" })), expected(&unit()));
    let ids = model.tokenize(&[Input::Text("the cat sat")]).unwrap().remove(0).ids;
    assert_eq!(embed(json!({ "input": ids })), expected(&unit()));
    assert_eq!(embed(json!({ "input": [ids] })), expected(&unit()));
    assert_eq!(embed(json!({ "input": "the cat sat", "dimensions": 4 })), expected(&unit().with_truncate_dim(4)));
    let plain = embed(json!({ "input": "the cat sat", "normalize": false }));
    assert_eq!(plain, expected(&EncodeOptions::default()));
}

#[test]
fn prompts_are_given_named_or_of_a_role() {
    let model = Model::from_dir(folder("tiny/bert-cls-normalize-prompts")).unwrap();
    let mut models = rushlight::server::Models::default();
    models.add("prompted", model.clone()).unwrap();
    let server = rushlight::server::Server::start(models, options()).unwrap();
    let embed = |extra: serde_json::Value| {
        let mut body = json!({ "input": "the cat sat" });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        floats(&post(server.url(), "/v1/embeddings", &body).ok()["data"][0]["embedding"])
    };
    let expected = |options: &EncodeOptions<'_>| model.encode_one("the cat sat", options).unwrap();
    let name = model.prompts().keys().next().unwrap().clone();
    assert_eq!(embed(json!({ "prompt_name": name })), expected(&unit().with_prompt_name(&name)));
    assert_eq!(embed(json!({ "prompt": "say: " })), expected(&unit().with_prompt("say: ")));
    assert_eq!(embed(json!({ "input_type": "query" })), expected(&unit().with_role(Role::Query)));
    assert_eq!(embed(json!({ "input_type": "search_document" })), expected(&unit().with_role(Role::Document)));
    let unknown = post(server.url(), "/v1/embeddings", &json!({ "input": "a", "prompt_name": "no such" }));
    assert_eq!(unknown.status, 422);
}

#[test]
fn models_are_listed_and_unknown_ones_named() {
    let server = serve(options());
    let list = get(server.url(), "/v1/models").ok();
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|card| card["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["sentence", "reranker", "classifier", "sparse", "late"]);
    let card = get(server.url(), "/v1/models/sparse").ok();
    assert_eq!((&card["id"], &card["object"]), (&json!("sparse"), &json!("model")));
    assert!(card["created"].as_u64().unwrap() > 1_700_000_000);
    for answer in [
        get(server.url(), "/v1/models/nothing"),
        post(server.url(), "/v1/embeddings", &json!({ "input": "a", "model": "nothing" })),
    ] {
        assert_eq!(answer.status, 404);
        let error = &answer.json()["error"];
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("nothing") && message.contains("sentence, reranker"), "{message}");
        assert_eq!((&error["type"], &error["param"]), (&json!("invalid_request_error"), &json!("model")));
    }
}

#[test]
fn errors_name_the_field() {
    let server = serve(options());
    for (body, status, param) in [
        (json!({ "input": 7 }), 422, "input"),
        (json!({ "input": ["a", 7.5] }), 422, "input"),
        (json!({}), 422, ""),
        (json!({ "input": "a", "dimensions": "x" }), 422, "dimensions"),
        (json!({ "input": "a", "dimensions": 0 }), 422, "dimensions"),
        (json!({ "input": "a", "dimensions": 100_000 }), 422, "dimensions"),
        (json!({ "input": "a", "encoding_format": "hex" }), 422, "encoding_format"),
        (json!({ "input": "" }), 400, "input"),
        (json!({ "input": [] }), 400, "input"),
        (json!({ "input": ["a", ""] }), 400, "input"),
        (json!({ "input": [1_000_000_000] }), 422, "inputs[0]"),
        (json!({ "input": "a", "model": "reranker" }), 424, ""),
    ] {
        let answer = post(server.url(), "/v1/embeddings", &body);
        assert_eq!(answer.status, status, "{body}");
        let answer = answer.json();
        let error = &answer["error"];
        assert_eq!(error["param"].as_str().unwrap_or_default(), param, "{body}: {error}");
        assert!(
            !error["message"].as_str().unwrap().is_empty() && error["code"].is_string() && error["type"].is_string()
        );
        assert_eq!(answer["code"], json!(status));
    }
}
