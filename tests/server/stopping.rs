//! The end of a server: in order, by signals, and by force. The binary is tested as a process.

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::http::{JSON, connect, post, read, request};
use crate::limits::wait_for;
use crate::process::{Process, free_port};
use crate::{folder, options, serve};

#[test]
fn stopping_answers_what_runs_and_closes_what_idles() {
    let server = serve(options().with_max_client_batch_size(10_000).with_payload_limit(10_000_000));
    let url = server.url().to_owned();
    let texts: Vec<_> = (0..300).map(|i| format!("text number {i}")).collect();
    let mut running = connect(&url);
    running.write_all(&request("POST", "/embed", JSON, json!({ "inputs": texts }).to_string().as_bytes())).unwrap();
    let _idle = connect(&url);
    wait_for(|| crate::http::metric(&url, "rushlight_computing") == 1.0);
    server.begin_stop();
    assert_eq!(read(&mut running).unwrap().ok().as_array().unwrap().len(), 300);
    let start = Instant::now();
    server.wait();
    assert!(start.elapsed() < Duration::from_secs(10), "an idle connection doesn't hold it");
    assert!(std::net::TcpStream::connect(url.strip_prefix("http://").unwrap()).is_err());
}

/// Words of the command that allow bodies with many texts.
const LARGE: [&str; 4] = ["--max-client-batch-size", "100000", "--payload-limit", "100000000"];

#[cfg(unix)]
#[test]
fn sigterm_under_load_loses_no_answer() {
    let mut process = Process::start(free_port(), &LARGE);
    let url = process.url.clone();
    let clients: Vec<_> = (0..8)
        .map(|client| {
            let url = url.clone();
            std::thread::spawn(move || {
                let texts: Vec<_> = (0..60).map(|i| format!("text {client} {i}")).collect();
                let mut stream = connect(&url);
                let body = json!({ "inputs": texts }).to_string();
                stream.write_all(&request("POST", "/embed", JSON, body.as_bytes())).unwrap();
                read(&mut stream).unwrap().ok().as_array().unwrap().len()
            })
        })
        .collect();
    wait_for(|| crate::http::metric(&url, "rushlight_computing") >= 1.0 || clients.iter().all(|c| c.is_finished()));
    // The requests of all clients have arrived.
    std::thread::sleep(Duration::from_millis(300));
    process.signal("-TERM");
    for client in clients {
        assert_eq!(client.join().unwrap(), 60);
    }
    assert_eq!(process.child.wait().unwrap().code(), Some(0));
}

#[cfg(unix)]
#[test]
fn a_second_signal_ends_at_once_and_a_killed_server_starts_again() {
    let port = free_port();
    let mut process = Process::start(port, &LARGE);
    let texts: Vec<_> = (0..50_000).map(|i| format!("text number {i} of very many")).collect();
    let mut running = connect(&process.url);
    running.write_all(&request("POST", "/embed", JSON, json!({ "inputs": texts }).to_string().as_bytes())).unwrap();
    wait_for(|| crate::http::metric(&process.url, "rushlight_computing") == 1.0);
    process.signal("-TERM");
    std::thread::sleep(Duration::from_millis(200));
    process.signal("-INT");
    let start = Instant::now();
    assert_eq!(process.child.wait().unwrap().code(), Some(143));
    assert!(start.elapsed() < Duration::from_secs(3));
    let mut process = Process::start(port, &LARGE);
    process.signal("-KILL");
    process.child.wait().unwrap();
    let process = Process::start(port, &LARGE);
    assert_eq!(post(&process.url, "/mine/embed", &json!({ "inputs": "a" })).status, 200);
}

#[test]
fn wrong_words_and_models_end_with_a_reason() {
    let run = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rushlight")).args(words).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run(&["serve"]).0, 2);
    assert_eq!(run(&["serve", "a", "--no-such-flag"]).0, 2);
    assert_eq!(run(&["serve", "--help"]).0, 0);
    let (status, error) = run(&["serve", "/no/such/folder", "--local-files-only"]);
    assert_eq!(status, 1);
    assert!(error.contains("/no/such/folder"), "{error}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let model = folder("tiny/bert-mean-normalize").display().to_string();
    let (status, error) = run(&["serve", &model, "--port", &port, "--host", "127.0.0.1"]);
    assert_eq!(status, 1);
    assert!(error.contains(&port) && error.contains("in use"), "{error}");
}
