//! Tests of models with a Router: queries take another route than documents.

use std::fs;

use crate::common::{copy, data, is_native, json as read, largest_difference, named, native, npy, tiny, ways};
use rushlight::{Embeddings, EncodeOptions, Error, Model};
use serde_json::{Value, json};
use tempfile::TempDir;

fn plain() -> EncodeOptions<'static> {
    EncodeOptions::default()
}

const QUERY: &str = "bert-mean-normalize";
const DOCUMENT: &str = "mpnet-cls-dot";

/// Returns a folder whose queries go through one small model and whose documents go through another.
fn router(change: impl FnOnce(&mut Value)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let class = |name: &str| format!("sentence_transformers.models.{name}");
    for (route, case) in [("query", QUERY), ("document", DOCUMENT)] {
        copy(&tiny(case).model, &folder.path().join(format!("{route}_0_Transformer")));
        copy(&tiny(case).model.join("1_Pooling"), &folder.path().join(format!("{route}_1_Pooling")));
    }
    let mut config = json!({
        "types": {
            "query_0_Transformer": class("Transformer"), "query_1_Pooling": class("Pooling"),
            "document_0_Transformer": class("Transformer"), "document_1_Pooling": class("Pooling"),
        },
        "structure": {
            "query": ["query_0_Transformer", "query_1_Pooling"],
            "document": ["document_0_Transformer", "document_1_Pooling"],
        },
        "parameters": { "default_route": "document", "allow_empty_key": true, "route_mappings": {} },
    });
    change(&mut config);
    fs::write(folder.path().join("router_config.json"), config.to_string()).unwrap();
    let modules = json!([
        { "idx": 0, "name": "0", "path": "", "type": class("Router") },
        { "idx": 1, "name": "1", "path": "1_Normalize", "type": class("Normalize") },
    ]);
    fs::write(folder.path().join("modules.json"), modules.to_string()).unwrap();
    folder
}

#[test]
fn queries_and_documents_go_their_own_ways_and_share_what_follows() {
    let folder = router(|_| {});
    let model = Model::from_dir(folder.path()).unwrap();
    let texts = ["one text", "another"];
    let alone = |case: &str| {
        let options = plain().with_normalize_embeddings(true);
        Model::from_dir(tiny(case).model).unwrap().encode(&texts, &options).unwrap()
    };
    let documents = model.encode_document(&texts, &plain()).unwrap();
    assert_eq!(documents, alone(DOCUMENT));
    assert_eq!(model.encode(&texts, &plain()).unwrap(), documents);
    let queries = model.encode_query(&texts, &plain()).unwrap();
    let wanted = alone(QUERY);
    let differ = queries.as_slice().iter().zip(wanted.as_slice()).map(|(x, y)| (x - y).abs());
    assert!(differ.fold(0.0, f32::max) < 1e-6, "normalized twice");
    assert_eq!(model.max_seq_length(), Model::from_dir(tiny(DOCUMENT).model).unwrap().max_seq_length());

    let folder = router(|config| config["parameters"]["default_route"] = json!("query"));
    let other = Model::from_dir(folder.path()).unwrap();
    assert_eq!(other.encode(&texts, &plain()).unwrap(), queries);
    assert_eq!(other.encode_query(&texts, &plain()).unwrap(), queries);
    assert_eq!(other.encode_document(&texts, &plain()).unwrap(), documents);
}

#[test]
fn unsupported_routers_are_errors() {
    let fails = |folder: TempDir, words: &[&str]| {
        let message = Model::from_dir(folder.path()).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    fails(router(|config| config["structure"]["query"] = json!([])), &["structure.query", "none"]);
    fails(router(|config| config["structure"]["third"] = json!([])), &["structure", "third"]);
    fails(router(|config| config["types"]["query_1_Pooling"] = json!("my.Own")), &["my.Own"]);
    let wide = router(|_| {});
    let pooling = wide.path().join("query_1_Pooling/config.json");
    let modes = json!({ "embedding_dimension": 32, "pooling_mode": ["cls", "mean"] });
    fs::write(pooling, modes.to_string()).unwrap();
    fails(wide, &["structure", "[64, 32]"]);
}

#[test]
fn saved_routes_are_the_same() {
    let texts = ["one text", "another one that is longer"];
    let embed = |model: &Model| {
        let queries = model.encode_query(&texts, &plain()).unwrap();
        [queries, model.encode_document(&texts, &plain()).unwrap(), model.encode(&texts, &plain()).unwrap()]
    };
    for default in ["query", "document"] {
        let folder = router(|config| config["parameters"]["default_route"] = json!(default));
        let mut model = Model::from_dir(folder.path()).unwrap();
        model.set_max_seq_length(5).unwrap();
        model.set_truncate_dim(Some(9)).unwrap();
        let saved = tempfile::tempdir().unwrap();
        model.save(saved.path()).unwrap();
        let again = Model::from_dir(saved.path()).unwrap();
        assert!(embed(&again) == embed(&model), "{default}");
        again.save(saved.path()).unwrap();
        let last = Model::from_dir(saved.path()).unwrap();
        assert!(embed(&last) == embed(&model), "{default}, onto itself");
        assert_eq!((last.max_seq_length(), last.truncate_dim()), (Some(5), Some(9)));
    }
}

#[test]
fn the_route_that_is_listed_first_is_the_default() {
    let texts = ["one text"];
    for (first, other) in [("query", "document"), ("document", "query")] {
        let folder = router(|config| {
            config["parameters"].as_object_mut().unwrap().remove("default_route");
            let structure = config["structure"].take();
            config["structure"] = json!({ first: structure[first], other: structure[other] });
        });
        let model = Model::from_dir(folder.path()).unwrap();
        let expected = match first {
            "query" => model.encode_query(&texts, &plain()),
            _ => model.encode_document(&texts, &plain()),
        };
        assert_eq!(model.encode(&texts, &plain()).unwrap(), expected.unwrap());
    }
}

/// A model shared by both routes is saved once, unless their maximum lengths differ.
#[test]
fn a_module_on_both_routes_is_saved_once() {
    let folder = router(|config| config["structure"]["query"] = config["structure"]["document"].clone());
    let mut model = Model::from_dir(folder.path()).unwrap();
    let names = |model: &Model| {
        let saved = tempfile::tempdir().unwrap();
        model.save(saved.path()).unwrap();
        let again = Model::from_dir(saved.path()).unwrap();
        let texts = ["a text that is longer than five tokens"];
        let embed = |model: &Model| [model.encode_query(&texts, &plain()), model.encode_document(&texts, &plain())];
        assert_eq!(embed(&again).map(Result::unwrap), embed(model).map(Result::unwrap));
        let config: Value = crate::common::json(&saved.path().join("router_config.json"));
        config["types"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(names(&model), ["query_0_Transformer", "query_1_Pooling", "query_2_Normalize"]);
    model.set_max_seq_length(5).unwrap();
    let apart = ["query_0_Transformer", "query_1_Pooling", "query_2_Normalize", "document_0_Transformer"];
    assert_eq!(names(&model), apart);
}

/// Returns a copy of the case with routes by task after the transformer, with a changed file of the router.
fn by_task(change: impl FnOnce(&mut Value)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&data().join("routes/bert-asym-old/model"), folder.path());
    let path = folder.path().join("2_Asym/config.json");
    let mut config: Value = read(&path);
    change(&mut config);
    fs::write(path, config.to_string()).unwrap();
    folder
}

#[test]
fn tasks_have_their_own_modules() {
    let case = data().join("routes/bert-asym-old");
    let texts: Vec<String> = read(&case.join("texts.json"));
    for way in ways() {
        let model = Model::from_dir_with(case.join("model"), &way).unwrap();
        assert_eq!(model.tasks(), ["query", "doc"]);
        let encode = |task: &str| model.encode(&texts, &plain().with_task(task)).unwrap();
        let check = |task: &str, embeddings: Embeddings| {
            let expected = npy(&case.join(format!("expected64_{task}.npy")));
            let largest = expected.iter().fold(0.0, |largest: f64, x| x.abs().max(largest));
            let error = largest_difference(embeddings.as_slice(), &expected);
            assert!(error <= 2e-5 * largest, "{task} by {}: {error:e}", named(&way));
        };
        check("query", encode("query"));
        check("query", model.encode_query(&texts, &plain()).unwrap());
        check("doc", encode("doc"));
        if is_native(&way) {
            for (i, text) in texts.iter().enumerate() {
                let alone = model.encode(&[text], &plain().with_task("doc")).unwrap();
                assert!(alone[0] == encode("doc")[i], "{text:?}");
            }
        }
        for error in [
            model.encode(&texts, &plain()).unwrap_err(),
            model.encode_document(&texts, &plain()).unwrap_err(),
            model.encode(&texts, &plain().with_task("nope")).unwrap_err(),
        ] {
            assert!(matches!(error, Error::InvalidArgument { argument: "task", .. }), "{error}");
            assert!(error.to_string().contains(r#"there are "query" and "doc""#), "{error}");
        }
    }
}

#[test]
fn calls_without_a_task_take_the_default_route() {
    let doc = |model: &Model| model.encode(&["a text"], &plain().with_task("doc")).unwrap();
    let default = |change: fn(&mut Value)| {
        let folder = by_task(change);
        let model = Model::from_dir(folder.path()).unwrap();
        (model.encode(&["a text"], &plain()).unwrap(), doc(&model), model.encode_query(&["a text"], &plain()).unwrap())
    };
    let (first, doc, query) = default(|config| config["parameters"] = json!({}));
    assert!(first == query && first != doc, "the first route");
    let (named, doc, _) = default(|config| config["parameters"]["default_route"] = json!("doc"));
    assert_eq!(named, doc);
}

#[test]
fn a_model_with_routes_by_task_is_saved() {
    let model = Model::from_dir(data().join("routes/bert-asym-old/model")).unwrap();
    let to = tempfile::tempdir().unwrap();
    model.save(to.path()).unwrap();
    let again = Model::from_dir(to.path()).unwrap();
    for task in ["query", "doc"] {
        let encode = |model: &Model| model.encode(&["a text"], &plain().with_task(task)).unwrap();
        assert_eq!(encode(&again), encode(&model), "{task}");
    }
}

#[test]
fn malformed_routes_by_task_are_errors_by_file_and_key() {
    let fails = |change: fn(&mut Value), words: &[&str]| {
        let message = Model::from_dir(by_task(change).path()).unwrap_err().to_string();
        assert!(message.contains("2_Asym") && words.iter().all(|word| message.contains(word)), "{message}");
    };
    fails(|config| config["structure"] = json!({}), &["structure", "at least one route"]);
    fails(|config| config["structure"]["doc"] = json!(["../x"]), &["structure.doc"]);
    fails(|config| config["structure"]["doc"] = json!(["x"]), &["types.x", "is missing"]);
    fails(|config| config["parameters"]["default_route"] = json!("nope"), &["default_route", "query, doc"]);
    fails(|config| config["parameters"]["route_mappings"] = json!({"x": "doc"}), &["route_mappings"]);
    fails(|config| config["types"]["doc_0_Dense"] = json!("other.Class"), &["types.doc_0_Dense", "other.Class"]);
    let folder = by_task(|_| {});
    let path = folder.path().join("2_Asym/doc_0_Dense/config.json");
    let mut dense: Value = read(&path);
    dense["in_features"] = json!(3);
    fs::write(&path, dense.to_string()).unwrap();
    let model = Model::from_dir_with(folder.path(), &native()).unwrap();
    let error = model.encode(&["a"], &plain().with_task("doc")).unwrap_err();
    assert!(error.to_string().contains("in_features"), "{error}");
}

#[test]
fn a_router_within_a_route_is_refused() {
    for modules in [json!([""]), json!(["query_0_Transformer", "query_1_Pooling", ""])] {
        let folder = router(|config| {
            config["types"][""] = json!("sentence_transformers.models.Router");
            config["structure"]["query"] = modules.clone();
        });
        let model = Model::from_dir(folder.path()).and_then(|model| model.encode_query(&["a text"], &plain()));
        assert!(matches!(model, Err(Error::Unsupported { .. })), "{modules}: {:?}", model.map(|_| ()));
    }
}
