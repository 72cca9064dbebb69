//! Answers under 64 concurrent clients have the bits of the library.

use std::sync::Arc;

use base64::Engine as _;
use rushlight::{EncodeOptions, Model};
use serde_json::json;

use crate::http::{JSON, connect, read, request};
use crate::{folder, options, serve};
use std::io::Write;

#[test]
fn sixty_four_clients_get_the_bits_of_the_library() {
    const CLIENTS: usize = 64;
    const REQUESTS: usize = 3;
    let server = serve(options());
    let model = Model::from_dir(folder("tiny/bert-mean-normalize")).unwrap();
    let texts = |client: usize, i: usize| -> Vec<String> {
        let length = |text: usize| (client * 7 + i * 3 + text * 5) % 12 + 1;
        (0..i % 4 + 1).map(|text| format!("text {client} {i} {}", "the cat sat ".repeat(length(text)))).collect()
    };
    let url = Arc::new(server.url().to_owned());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let url = Arc::clone(&url);
            std::thread::spawn(move || {
                let mut stream = connect(&url);
                let mut answers = Vec::new();
                for i in 0..REQUESTS {
                    let body = json!({ "input": texts(client, i), "encoding_format": "base64" }).to_string();
                    stream.write_all(&request("POST", "/v1/embeddings", JSON, body.as_bytes())).unwrap();
                    answers.push(read(&mut stream).unwrap().ok());
                }
                answers
            })
        })
        .collect();
    let options = EncodeOptions::default().with_normalize_embeddings(true);
    for (client, thread) in clients.into_iter().enumerate() {
        for (i, answer) in thread.join().unwrap().into_iter().enumerate() {
            let expected = model.encode(&texts(client, i), &options).unwrap();
            for (row, item) in expected.rows().zip(answer["data"].as_array().unwrap()) {
                let bytes =
                    base64::engine::general_purpose::STANDARD.decode(item["embedding"].as_str().unwrap()).unwrap();
                assert_eq!(bytes, row.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>(), "{client} {i}");
            }
        }
    }
}
