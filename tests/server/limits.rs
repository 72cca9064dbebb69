//! Limits, keys, origins, sockets, metrics, pages.

use std::io::Write;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use rushlight::LoadOptions;
use rushlight::server::{AnyModel, ApiKeys, Models, Server};
use serde_json::json;

use crate::http::{JSON, connect, get, metric, post, read, request, send};
use crate::{folder, options, serve};

#[test]
fn too_much_is_refused_with_413() {
    let server = serve(options().with_payload_limit(1000).with_max_client_batch_size(2));
    let answer = post(server.url(), "/embed", &json!({ "inputs": ["a", "b", "c"] }));
    assert_eq!((answer.status, &answer.json()["error_type"]), (413, &json!("Validation")));
    assert_eq!(answer.json()["error"], "batch size 3 > maximum allowed batch size 2");
    let answer = post(server.url(), "/embed", &json!({ "inputs": "a".repeat(1000) }));
    assert_eq!(answer.status, 413);
    let mut stream = connect(server.url());
    let head = format!("POST /embed HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n{JSON}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    for _ in 0..20 {
        stream.write_all(format!("64\r\n{}\r\n", "a".repeat(100)).as_bytes()).unwrap();
    }
    assert_eq!(read(&mut stream).unwrap().status, 413, "a body of unknown length");
}

#[test]
fn overload_is_refused_at_once_with_429() {
    let server = serve(
        options()
            .with_max_concurrent_requests(1usize)
            .with_max_client_batch_size(100_000)
            .with_payload_limit(100_000_000),
    );
    let texts: Vec<_> = (0..20_000).map(|i| format!("text number {i} of many that take a while")).collect();
    let mut slow = connect(server.url());
    slow.write_all(&request("POST", "/embed", JSON, json!({ "inputs": texts }).to_string().as_bytes())).unwrap();
    wait_for(|| metric(server.url(), "rushlight_computing") == 1.0);
    let start = Instant::now();
    let answer = post(server.url(), "/embed", &json!({ "inputs": "a" }));
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("1")));
    assert_eq!(answer.json()["error_type"], "Overloaded");
    assert!(start.elapsed() < Duration::from_secs(5));
    let answer = post(server.url(), "/v1/embeddings", &json!({ "input": "a" }));
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (429, &json!("rate_limit_error")));
    assert_eq!(get(server.url(), "/health").status, 200);
    // The client leaves, and its computation stops within a micro-batch.
    drop(slow);
    wait_for(|| metric(server.url(), "rushlight_cancelled") == 1.0);
    wait_for(|| metric(server.url(), "rushlight_computing") == 0.0);
    assert_eq!(metric(server.url(), "te_queue_size"), 0.0);
    assert_eq!(post(server.url(), "/embed", &json!({ "inputs": "a" })).status, 200);
}

/// Waits until something is true, for at most 30 seconds.
pub fn wait_for(done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(30), "it never happens");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_slow_body_gets_408_and_a_slow_head_nothing() {
    let limits =
        options().with_body_timeout(Duration::from_millis(200)).with_header_timeout(Duration::from_millis(200));
    let server = serve(limits);
    let mut stream = connect(server.url());
    stream
        .write_all(format!("POST /embed HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n{JSON}\r\n{{").as_bytes())
        .unwrap();
    assert_eq!(read(&mut stream).unwrap().status, 408);
    for bytes in [&b"POST /embed HT"[..], b""] {
        let mut stream = connect(server.url());
        stream.write_all(bytes).unwrap();
        let start = Instant::now();
        let answer = read(&mut stream);
        assert!(answer.is_err() || answer.unwrap().status == 408);
        assert!(start.elapsed() < Duration::from_secs(10), "closed in time");
    }
}

#[test]
fn keys_are_needed_but_for_probes() {
    let server = serve(options().with_api_keys(ApiKeys::new(["one", "two"])));
    let ask = |headers: &str| send(server.url(), &request("GET", "/v1/models", headers, b""));
    for headers in ["", "authorization: Bearer three\r\n", "authorization: one\r\n", "authorization: Bearer \r\n"] {
        let answer = ask(headers);
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{headers}");
        assert_eq!(answer.json()["error"]["type"], "authentication_error");
    }
    for headers in ["authorization: Bearer one\r\n", "Authorization: bearer two\r\n"] {
        assert_eq!(ask(headers).status, 200);
    }
    assert_eq!(post(server.url(), "/embed", &json!({ "inputs": "a" })).status, 401);
    for path in ["/health", "/ping", "/healthz", "/metrics", "/", "/docs", "/openapi.json"] {
        assert_eq!(get(server.url(), path).status, 200, "{path}");
    }
    assert_eq!(get(server.url(), "/info").status, 401);
}

#[test]
fn origins_are_allowed_when_told() {
    let ask = |origins: Vec<String>| {
        let server = serve(options().with_cors_allow_origin(origins));
        let headers = "origin: http://page\r\naccess-control-request-method: POST\r\n";
        let answer = send(server.url(), &request("OPTIONS", "/embed", headers, b""));
        answer.header("access-control-allow-origin").map(str::to_owned)
    };
    assert_eq!(ask(vec![]), None);
    assert_eq!(ask(vec!["*".to_owned()]).as_deref(), Some("*"));
    assert_eq!(ask(vec!["http://page".to_owned()]).as_deref(), Some("http://page"));
    assert_eq!(ask(vec!["http://other".to_owned()]), None);
}

#[cfg(unix)]
#[test]
fn a_unix_socket_is_listened_on_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    // A killed server leaves its socket.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = serve(options().with_uds(path.clone()));
    assert_eq!(server.url(), format!("unix:{}", path.display()));
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    stream.write_all(&request("GET", "/health", "", b"")).unwrap();
    assert_eq!(read(&mut stream).unwrap().status, 200);
    assert!(Server::start(crate::models(), options().with_uds(path.clone())).is_err(), "taken");
    server.stop();
    assert!(!path.exists());
}

#[test]
fn metrics_have_the_names_of_tei() {
    let server = serve(options());
    post(server.url(), "/embed", &json!({ "inputs": ["a", "b"] })).ok();
    post(server.url(), "/embed", &json!({ "inputs": "a" })).ok();
    post(server.url(), "/predict", &json!({ "inputs": "a" })).ok();
    assert_eq!(post(server.url(), "/embed", &json!({ "inputs": "" })).status, 400);
    for (name, number) in [
        ("te_request_count{method=\"single\"}", 3.0),
        ("te_request_count{method=\"batch\"}", 1.0),
        ("te_request_success{method=\"batch\"}", 1.0),
        ("te_request_failure{err=\"empty\"}", 1.0),
        ("te_embed_count", 2.0),
        ("te_embed_success", 2.0),
        ("te_predict_success", 1.0),
        ("te_request_duration_count", 3.0),
        ("te_request_tokenization_duration_count", 3.0),
        ("te_request_queue_duration_count", 3.0),
        ("te_request_inference_duration_count", 3.0),
        ("te_request_input_length_count", 3.0),
        ("te_batch_next_size_count", 3.0),
        ("te_batch_next_size_sum", 4.0),
        ("te_queue_size", 0.0),
    ] {
        assert_eq!(metric(server.url(), name), number, "{name}");
    }
    assert!(metric(server.url(), "te_batch_next_tokens_sum") > 4.0);
    if cfg!(target_os = "linux") {
        assert!(metric(server.url(), "process_resident_memory_bytes") > 1e6);
    }
}

#[test]
fn micro_batches_have_no_more_texts_than_asked_for() {
    let one = LoadOptions::default().with_max_batch_texts(NonZeroUsize::MIN);
    let mut models = Models::default();
    models.add("model", AnyModel::from_dir_with(folder("tiny/bert-mean-normalize"), &one).unwrap()).unwrap();
    let server = Server::start(models, options()).unwrap();
    let texts: Vec<_> = (0..8).map(|i| format!("number {i}")).collect();
    post(server.url(), "/embed", &json!({ "inputs": texts })).ok();
    assert_eq!(metric(server.url(), "te_batch_next_size_count"), 8.0);
    assert_eq!(get(server.url(), "/info").json()["max_batch_requests"], 1);
}

#[test]
fn request_ids_come_back() {
    let server = serve(options());
    let given = send(server.url(), &request("GET", "/health", "x-request-id: my-id\r\n", b""));
    assert_eq!(given.header("x-request-id"), Some("my-id"));
    let made = [get(server.url(), "/health"), get(server.url(), "/health")];
    assert_ne!(made[0].header("x-request-id").unwrap(), made[1].header("x-request-id").unwrap());
}

#[test]
fn statuses_of_wrong_paths_methods_and_types() {
    let server = serve(options());
    let answer = get(server.url(), "/no/such/route");
    assert_eq!(answer.status, 404);
    assert!(answer.json()["error"].as_str().unwrap().contains("served models: sentence, reranker"));
    assert_eq!(post(server.url(), "/nobody/embed", &json!({ "inputs": "a" })).status, 404);
    let answer = get(server.url(), "/embed");
    assert_eq!((answer.status, &answer.json()["error_type"]), (405, &json!("Validation")));
    let answer = send(server.url(), &request("POST", "/embed", "content-type: text/plain\r\n", b"a"));
    assert_eq!(answer.status, 415);
    assert_eq!(send(server.url(), &request("POST", "/v1/embeddings", "", b"{}")).status, 415);
}

#[test]
fn pages_are_whole_and_the_schema_has_every_route() {
    let server = serve(options());
    for path in ["/", "/docs"] {
        let page = get(server.url(), path);
        let text = String::from_utf8(page.body.clone()).unwrap();
        assert_eq!((page.status, page.header("content-type").unwrap()), (200, "text/html; charset=utf-8"));
        assert!(!text.contains("https://") && !text.contains("src="), "{path} loads nothing");
    }
    let schema = get(server.url(), "/openapi.json").ok();
    let schemas = schema["components"]["schemas"].as_object().unwrap();
    for (path, methods) in schema["paths"].as_object().unwrap() {
        let path = path.replace("{id}", "sentence");
        for (method, operation) in methods.as_object().unwrap() {
            let answer = send(server.url(), &request(&method.to_uppercase(), &path, JSON, b"{}"));
            assert!(![404, 405].contains(&answer.status) || path.contains("sentence"), "{method} {path}");
            if let Some(body) = operation.get("requestBody") {
                let name = body["content"]["application/json"]["schema"]["$ref"].as_str().unwrap();
                assert!(schemas.contains_key(name.rsplit('/').next().unwrap()), "{name}");
            }
        }
    }
}

#[test]
fn an_idle_model_is_unloaded_when_asked_and_comes_back() {
    let mut models = Models::default();
    models.load("sentence", folder("tiny/bert-mean-normalize"), LoadOptions::default()).unwrap();
    let server = Server::start(models, options().with_keep_alive(Duration::from_millis(40))).unwrap();
    let embed = || post(server.url(), "/embed", &json!({ "inputs": "a" })).ok();
    let first = embed();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(embed(), first);
}
