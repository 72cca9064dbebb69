//! A small client on sockets, which can misbehave.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// Answer of a server.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// Returns the JSON of an answer with status 200.
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }
}

pub fn connect(url: &str) -> TcpStream {
    let stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(600))).unwrap();
    stream
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
}

/// Reads an answer, and leaves the connection open.
pub fn read(stream: &mut impl Read) -> std::io::Result<Answer> {
    let (head, body) = read_message(stream)?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok(Answer { status, head, body })
}

/// Reads the head and the body of a request or an answer.
pub fn read_message(stream: &mut impl Read) -> std::io::Result<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut body = vec![0; header(&head, "content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body)?;
    Ok((head, body))
}

/// Returns a request.
pub fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

pub const JSON: &str = "content-type: application/json\r\n";

pub fn send(url: &str, bytes: &[u8]) -> Answer {
    let mut stream = connect(url);
    stream.write_all(bytes).unwrap();
    read(&mut stream).unwrap()
}

pub fn post(url: &str, path: &str, body: &Value) -> Answer {
    send(url, &request("POST", path, JSON, body.to_string().as_bytes()))
}

pub fn get(url: &str, path: &str) -> Answer {
    send(url, &request("GET", path, "", b""))
}

/// Returns a metric's number; 0 if there is none.
pub fn metric(url: &str, name: &str) -> f64 {
    let text = String::from_utf8(get(url, "/metrics").body).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |number| number.parse().unwrap())
}

/// Parses a list of numbers to float32.
pub fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}
