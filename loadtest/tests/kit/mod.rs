//! The program under test as a process that serves on a free port, and dies with the test.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ringway-load");

pub struct Served {
    child: Child,
    pub address: String,
}

// === impl Served ===

impl Served {
    pub fn mock(flags: &[&str]) -> Served {
        let mut child = Command::new(PROGRAM)
            .args(["mock-llm", "--listen", "127.0.0.1:0"])
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program was built");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the mock says where it listens");
        let address = line.trim().strip_prefix("listening on ").expect("the documented line");
        Served { address: address.to_owned(), child }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
