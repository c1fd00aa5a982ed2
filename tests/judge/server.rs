//! A server that answers as a test tells it to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Request {
    /// How many came before it.
    pub number: usize,
    pub head: String,
    pub body: Value,
}

impl Request {
    /// The text of the question.
    pub fn question(&self) -> &str {
        self.body["messages"][0]["content"].as_str().unwrap()
    }

    pub fn structured(&self) -> bool {
        self.body.get("response_format").is_some()
    }
}

/// A server on a port of its own; it ends with the test.
pub struct Server {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    ended: Arc<AtomicBool>,
    /// The most requests that were under way at once.
    pub most: Arc<AtomicUsize>,
}

impl Server {
    /// Answers each request by what `answer` writes, and closes the connection where it says no.
    pub fn start(
        answer: impl Fn(&Request, &mut TcpStream) -> std::io::Result<bool> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let server = Self {
            url,
            requests: Arc::default(),
            ended: Arc::default(),
            most: Arc::default(),
        };
        let (requests, ended) = (server.requests.clone(), server.ended.clone());
        let (most, under_way) = (server.most.clone(), Arc::new(AtomicUsize::new(0)));
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                let (requests, answer) = (requests.clone(), answer.clone());
                let (most, under_way) = (most.clone(), under_way.clone());
                thread::spawn(move || {
                    while let Some(request) = read(&stream, &requests) {
                        most.fetch_max(
                            1 + under_way.fetch_add(1, Ordering::SeqCst),
                            Ordering::SeqCst,
                        );
                        let keep = answer(&request, &mut stream);
                        under_way.fetch_sub(1, Ordering::SeqCst);
                        if !keep.unwrap_or(false) {
                            return;
                        }
                    }
                });
            }
        });
        server
    }

    /// Answers each request by whole responses.
    pub fn replying(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start(move |request, stream| {
            stream.write_all(&answer(request))?;
            Ok(true)
        })
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let address = self
            .url
            .trim_start_matches("http://")
            .trim_end_matches("/v1");
        let _ = TcpStream::connect(address);
    }
}

fn read(stream: &TcpStream, requests: &Mutex<Vec<Request>>) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    })?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut requests = requests.lock().unwrap();
    let number = requests.len();
    requests.push(Request {
        number,
        head,
        body: serde_json::from_slice(&body).expect("requests are JSON"),
    });
    requests.last().cloned()
}

/// A chat completion with this text.
pub fn completion(text: &str) -> Value {
    json!({
        "id": "x",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 90, "completion_tokens": 10, "total_tokens": 100},
    })
}

/// A response of this status, with further header lines, each ended by a line break.
pub fn response(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A good response with this text.
pub fn says(text: &str) -> Vec<u8> {
    response("200 OK", "", completion(text).to_string())
}

/// Writes a little again and again, until the client has had enough.
pub fn drip(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<bool> {
    loop {
        stream.write_all(bytes)?;
        stream.flush()?;
        thread::sleep(Duration::from_millis(20));
    }
}
