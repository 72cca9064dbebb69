//! Clients that misbehave, and models that do.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use rushlight::server::{AnyModel, Models, Server};
use serde_json::json;

use crate::http::{JSON, connect, get, post, read, request, send};
use crate::process::{Process, free_port};
use crate::{folder, options, serve};

#[test]
fn malformed_bodies_are_422_on_every_route() {
    let server = serve(options());
    for path in [
        "/embed",
        "/embed_all",
        "/embed_sparse",
        "/similarity",
        "/rerank",
        "/predict",
        "/tokenize",
        "/decode",
        "/",
        "/v1/embeddings",
        "/v1/rerank",
        "/score",
    ] {
        for body in [&b""[..], b"{", b"[]", b"null", b"\"a\"", b"{}", b"{\"inputs\": {}}", b"\xff\xfe", b"{} {}"] {
            let answer = send(server.url(), &request("POST", path, JSON, body));
            assert_eq!(answer.status, 422, "{path} {}: {}", String::from_utf8_lossy(body), answer.json());
            assert!(answer.json()["error_type"].is_string());
        }
        let deep = "[".repeat(100_000);
        assert_eq!(send(server.url(), &request("POST", path, JSON, deep.as_bytes())).status, 422, "{path}");
    }
    assert_eq!(get(server.url(), "/health").status, 200);
}

#[test]
fn half_closed_and_left_connections_do_no_harm() {
    let server = serve(options());
    for _ in 0..50 {
        let mut stream = connect(server.url());
        stream.write_all(&request("POST", "/embed", JSON, br#"{"inputs": "a"}"#)).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        // An answer or the end, but no waiting.
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        let mut stream = connect(server.url());
        stream.write_all(b"POST /embed HTTP/1.1\r\n").unwrap();
    }
    assert_eq!(post(server.url(), "/embed", &json!({ "inputs": "a" })).status, 200);
}

/// Raises this process's limit of open files, and returns it.
#[cfg(target_os = "linux")]
fn open_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    maximum.unwrap_or(u64::MAX)
}

/// Resident memory of a process in bytes.
#[cfg(target_os = "linux")]
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
    kilobytes.unwrap().trim().parse::<u64>().unwrap() * 1000
}

#[cfg(target_os = "linux")]
#[test]
fn ten_thousand_idle_connections_keep_nobody_out() {
    let process = Process::start(free_port(), &[]);
    let before = resident(process.child.id());
    let count = open_files().saturating_sub(500).min(10_000);
    let idle: Vec<_> = (0..count).map(|_| connect(&process.url)).collect();
    assert_eq!(post(&process.url, "/embed", &json!({ "inputs": "a" })).status, 200);
    let each = resident(process.child.id()).saturating_sub(before) / count;
    assert!(each < 20_000, "an idle connection takes {each} bytes");
    drop(idle);
    assert_eq!(post(&process.url, "/embed", &json!({ "inputs": "a" })).status, 200);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = serve(options());
    let mut stream = connect(server.url());
    let body = |i: usize| json!({ "text_1": "a", "text_2": vec!["b"; i + 1] }).to_string();
    let all: Vec<u8> = (0..5).flat_map(|i| request("POST", "/score", JSON, body(i).as_bytes())).collect();
    stream.write_all(&all).unwrap();
    for i in 0..5 {
        assert_eq!(read(&mut stream).unwrap().ok()["data"].as_array().unwrap().len(), i + 1);
    }
}

/// Speaks HTTP/2 just enough: preface, settings, and the headers of `GET /health`, all from the static table.
#[test]
fn http_2_is_spoken() {
    let server = serve(options());
    let mut stream = connect(server.url());
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
    let mut headers = vec![0x82, 0x86, 0x44, 7];
    headers.extend(b"/health");
    headers.extend([0x41, 1, b'x']);
    stream.write_all(&[0, 0, headers.len() as u8, 1, 5, 0, 0, 0, 1]).unwrap();
    stream.write_all(&headers).unwrap();
    loop {
        let mut frame = [0; 9];
        stream.read_exact(&mut frame).unwrap();
        let mut payload = vec![0; usize::from(frame[1]) << 8 | usize::from(frame[2])];
        stream.read_exact(&mut payload).unwrap();
        if frame[3] == 1 {
            assert_eq!(payload[0], 0x88, "the static table's :status 200");
            break;
        }
    }
}

/// Weights that make NaN get a status of 500 that says so, and the server goes on.
#[test]
fn a_model_that_makes_nan_is_told_of() {
    let broken = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder("tiny/bert-mean-normalize")).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            std::fs::create_dir(broken.path().join(entry.file_name())).unwrap();
            for file in std::fs::read_dir(entry.path()).unwrap() {
                let file = file.unwrap();
                std::fs::copy(file.path(), broken.path().join(entry.file_name()).join(file.file_name())).unwrap();
            }
        } else {
            std::fs::copy(entry.path(), broken.path().join(entry.file_name())).unwrap();
        }
    }
    let weights = broken.path().join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let data = bytes.len() / 2 / 4 * 4;
    bytes[data..].chunks_exact_mut(4).for_each(|number| number.copy_from_slice(&f32::NAN.to_le_bytes()));
    std::fs::write(&weights, bytes).unwrap();
    let mut models = Models::default();
    models.add("broken", AnyModel::from_dir(broken.path()).unwrap()).unwrap();
    models.add("sound", AnyModel::from_dir(folder("tiny/bert-mean-normalize")).unwrap()).unwrap();
    let server = Server::start(models, options()).unwrap();
    let answer = post(server.url(), "/broken/embed", &json!({ "inputs": "the cat" }));
    assert_eq!((answer.status, &answer.json()["error_type"]), (500, &json!("Backend")));
    assert!(answer.json()["error"].as_str().unwrap().contains("not finite"));
    assert_eq!(get(server.url(), "/health").status, 503);
    assert_eq!(post(server.url(), "/sound/embed", &json!({ "inputs": "the cat" })).status, 200);
}

#[test]
fn a_text_of_10_mb_is_truncated_and_a_body_of_100_mb_refused() {
    let server = serve(options().with_payload_limit(20_000_000));
    let text = "the cat sat ".repeat(10_000_000 / 12);
    assert_eq!(post(server.url(), "/embed", &json!({ "inputs": text })).status, 200);
    let mut stream = connect(server.url());
    let head = format!("POST /embed HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n{JSON}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(read(&mut stream).unwrap().status, 413, "before the body is sent");
}
