//! The binary as a process.

use std::process::{Child, Command, Stdio};

use crate::folder;
use crate::http::get;
use crate::limits::wait_for;

/// Server in a process of its own. Dropping it kills it.
pub struct Process {
    pub child: Child,
    pub url: String,
}

impl Process {
    /// Starts the server of a small model, `mine`, with further words of the command.
    pub fn start(port: u16, words: &[&str]) -> Self {
        let model = format!("mine={}", folder("tiny/bert-mean-normalize").display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_rushlight"));
        command.args(["serve", &model, "--log-level", "warn", "--port", &port.to_string()]).args(words);
        let child = command.env_remove("HOSTNAME").stdin(Stdio::null()).spawn().unwrap();
        let url = format!("http://127.0.0.1:{port}");
        wait_for(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        wait_for(|| get(&url, "/health").status == 200);
        Self { child, url }
    }

    /// Sends a signal, such as `-TERM`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
