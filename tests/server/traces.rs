//! Traces, sent to a collector of the test's.

use std::io::Write;
use std::net::TcpListener;

use crate::http::{JSON, connect, read, read_message, request, send};
use crate::process::{Process, free_port};

/// Answers one request with an empty body, and returns its head and body.
fn collect(collector: &TcpListener) -> (String, Vec<u8>) {
    let (mut stream, _) = collector.accept().unwrap();
    let request = read_message(&mut stream).unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    request
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_request_is_traced_with_its_steps_and_its_parent() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    let mut process = Process::start(free_port(), &["--otlp-endpoint", &endpoint]);
    let (trace, parent) = ([0xAB; 16], [0xCD; 8]);
    let header = format!("{JSON}traceparent: 00-{}-{}-01\r\n", "ab".repeat(16), "cd".repeat(8));
    assert_eq!(send(&process.url, &request("POST", "/embed", &header, br#"{"inputs": "a"}"#)).status, 200);
    // The last traces are sent before the end.
    process.signal("-TERM");
    let mut found = Vec::new();
    while !contains(&found, b"compute") {
        let (head, body) = collect(&collector);
        assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
        found = body;
    }
    for part in [&trace[..], &parent, b"POST /embed", b"tokenize", b"wait", b"rushlight", b"http.response.status_code"]
    {
        assert!(contains(&found, part), "{part:?}");
    }
    assert_eq!(process.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_collector_that_is_away_loses_traces_only() {
    let endpoint = format!("http://127.0.0.1:{}", free_port());
    let mut process = Process::start(free_port(), &["--otlp-endpoint", &endpoint]);
    let mut stream = connect(&process.url);
    stream.write_all(&request("POST", "/embed", JSON, br#"{"inputs": "a"}"#)).unwrap();
    assert_eq!(read(&mut stream).unwrap().status, 200);
    drop(stream);
    process.signal("-TERM");
    assert_eq!(process.child.wait().unwrap().code(), Some(0));
}
