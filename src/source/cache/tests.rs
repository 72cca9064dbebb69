//! Tests of the cache with folders made for them.

use super::*;

fn absent(state: SnapshotState) -> String {
    match state {
        SnapshotState::Absent(problem) => problem,
        other => panic!("{other:?}"),
    }
}

/// A cache with a snapshot of `org/name` that has these files.
fn cached(files: &[(&str, &str)]) -> (tempfile::TempDir, Repository) {
    let home = tempfile::tempdir().unwrap();
    let cache = CacheLocation { folder: home.path().to_path_buf(), chosen_by: "cache_folder" };
    let repository = cache.repository("org/name".to_owned());
    write(&repository.reference("main"), "abc\n");
    for (name, text) in files {
        write(&repository.snapshot("abc").join(name), text);
    }
    (home, repository)
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn doubt(repository: &Repository) -> Option<String> {
    match repository.state("main") {
        SnapshotState::Unlisted(unlisted) => unlisted.doubt,
        other => panic!("{other:?}"),
    }
}

const BERT: (&str, &str) = ("config.json", r#"{"model_type": "bert"}"#);

#[test]
fn snapshots_are_found_by_branch_and_by_commit() {
    let home = tempfile::tempdir().unwrap();
    let cache = CacheLocation { folder: home.path().to_path_buf(), chosen_by: "cache_folder" };
    assert!(absent(cache.repository("org/name".to_owned()).state("main")).contains("no such folder"));

    let (_home, repository) = cached(&[BERT, ("model.safetensors", ""), ("vocab.txt", "")]);
    write(&repository.reference("pr/1"), "abc");
    for revision in ["main", "abc", "pr/1"] {
        let SnapshotState::Unlisted(Unlisted { commit, snapshot, doubt }) = repository.state(revision) else {
            panic!("{revision}")
        };
        assert_eq!((&*commit, doubt), ("abc", None));
        assert_eq!(snapshot, repository.snapshot("abc"));
    }
    assert!(absent(repository.state("v2")).contains("no snapshot"));
    // No name leads out of the cache.
    write(&repository.reference("evil"), "../../..");
    for revision in ["evil", "../snapshots/abc", "", "/"] {
        assert!(matches!(repository.state(revision), SnapshotState::Absent(_)), "{revision}");
    }
}

#[test]
fn the_hubs_list_shows_missing_files() {
    let modules = r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
                      {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]"#;
    let files = [BERT, ("model.safetensors", ""), ("vocab.txt", ""), ("1_Pooling/config.json", "{}")];
    let (_home, repository) = cached(&files);
    let list = |more: &str| {
        let all = format!(r#"["config.json", "model.safetensors", "vocab.txt", "onnx/model.onnx"{more}]"#);
        write(&repository.list("abc"), &all);
    };
    list("");
    assert!(matches!(repository.state("main"), SnapshotState::Complete(_)));
    for name in ["modules.json", "tokenizer_config.json", "sentence_bert_config.json", "README.md"] {
        list(&format!(", {name:?}"));
        assert!(absent(repository.state("main")).ends_with(&format!("has no {name}")), "{name}");
    }
    list(r#", "1_Pooling/config.json", "1_Pooling/other.json", "modules.json""#);
    write(&repository.snapshot("abc").join("modules.json"), modules);
    assert!(matches!(repository.state("main"), SnapshotState::Complete(_)));
    std::fs::remove_file(repository.snapshot("abc").join("1_Pooling/config.json")).unwrap();
    assert!(absent(repository.state("main")).ends_with("has no 1_Pooling/config.json"));
    // A truncated list is ignored.
    write(&repository.list("abc"), "[\"config.js");
    assert!(absent(repository.state("main")).ends_with("has no 1_Pooling/config.json"));
}

#[test]
fn missing_files_of_modules_are_listed() {
    let module =
        |path: &str, kind: &str| format!(r#"{{"path": "{path}", "type": "sentence_transformers.models.{kind}"}}"#);
    let modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"), ("3_Normalize", "Normalize")];
    let modules = modules.map(|(path, kind)| module(path, kind)).join(",");
    let (_home, repository) = cached(&[("modules.json", &format!("[{modules}]"))]);
    let snapshot = repository.snapshot("abc");
    let index = r#"{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}"#;
    for (lacks, name, text) in [
        ("config.json", "config.json", BERT.1),
        ("model.safetensors", "model.safetensors.index.json", index),
        ("one.safetensors", "one.safetensors", ""),
        ("two.safetensors", "two.safetensors", ""),
        ("tokenizer.json", "vocab.txt", ""),
        ("1_Pooling/config.json", "1_Pooling/config.json", "{}"),
        ("2_Dense/config.json", "2_Dense/config.json", "{}"),
        ("2_Dense/model.safetensors", "2_Dense/pytorch_model.bin", ""),
    ] {
        assert_eq!(missing_file(&snapshot).as_deref(), Some(lacks));
        write(&snapshot.join(name), text);
    }
    assert_eq!(missing_file(&snapshot), None);
}

#[test]
fn missing_files_of_routes_are_listed() {
    let modules = r#"[{"path": "", "type": "sentence_transformers.models.Router"}]"#;
    let (_home, repository) = cached(&[("modules.json", modules)]);
    let snapshot = repository.snapshot("abc");
    let router = r#"{"structure": {"query": ["q"], "document": ["d", "p"]}, "types": {
        "q": "sentence_transformers.sparse_encoder.models.SparseStaticEmbedding",
        "d": "sentence_transformers.sparse_encoder.models.MLMTransformer",
        "p": "sentence_transformers.sparse_encoder.models.SpladePooling"}}"#;
    for (lacks, name, text) in [
        ("router_config.json", "router_config.json", router),
        ("q/model.safetensors", "q/model.safetensors", ""),
        ("q/tokenizer.json", "q/tokenizer.json", "{}"),
        ("d/config.json", "d/config.json", BERT.1),
        ("d/model.safetensors", "d/pytorch_model.bin", ""),
        ("d/tokenizer.json", "d/vocab.txt", ""),
        ("p/config.json", "p/config.json", "{}"),
    ] {
        assert_eq!(missing_file(&snapshot).as_deref(), Some(lacks));
        write(&snapshot.join(name), text);
    }
    assert_eq!(missing_file(&snapshot), None);
}

#[test]
fn files_that_were_never_requested_are_doubtful() {
    let (_home, repository) = cached(&[BERT, ("model.safetensors", ""), ("vocab.txt", "")]);
    let snapshot = repository.snapshot("abc");
    let mark = |name: &str| write(&repository.known_absent("abc").join(name), "");
    let doubted = |name: &str| {
        let doubt = doubt(&repository).unwrap();
        assert!(doubt.contains(&format!("has no {name}, and the repository may have it")), "{doubt}");
    };
    // Programs that download every file mark none, and old versions of rushlight mark only these.
    assert_eq!(doubt(&repository), None);
    mark("config_sentence_transformers.json");
    assert_eq!(doubt(&repository), None);
    // transformers doesn't read modules.json.
    mark("added_tokens.json");
    doubted("modules.json");
    for whole in ["README.md", ".gitattributes"] {
        write(&snapshot.join(whole), "");
        assert_eq!(doubt(&repository), None, "{whole}");
        std::fs::remove_file(snapshot.join(whole)).unwrap();
    }
    write(&snapshot.join("config.json"), r#"{"architectures": ["BertForSequenceClassification"]}"#);
    doubted("tokenizer_config.json");
    mark("tokenizer_config.json");
    assert_eq!(doubt(&repository), None);
    write(&snapshot.join("config.json"), BERT.1);
    mark("modules.json");
    assert_eq!(doubt(&repository), None);
}

#[test]
fn a_router_in_its_own_folder_has_an_end() {
    for name in ["", ".", "./."] {
        let router = serde_json::json!({
            "types": { name: "sentence_transformers.models.Router" },
            "structure": { "query": [name], "document": [name] },
        });
        let modules = r#"[{"path": "", "type": "sentence_transformers.models.Router"}]"#;
        let (_home, repository) = cached(&[("modules.json", modules), ("router_config.json", &router.to_string())]);
        assert_eq!(doubt(&repository), None);
    }
}
