//! A hub as a test wants it: the routes of Hugging Face's, and whatever goes wrong on them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sha1::Digest as _;

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub path: String,
    /// In lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.path.contains(part)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Where the range that is asked for begins.
    fn from(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.trim_end_matches('-').parse().ok()
    }
}

/// What is sent back.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// The connection ends after so many bytes of it.
    pub cut: Option<usize>,
    /// It is sent so slowly that it never ends.
    pub drips: bool,
    /// It is sent again and again.
    pub endless: bool,
}

impl Reply {
    pub fn new(status: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            cut: None,
            drips: false,
            endless: false,
        }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }

    fn send(&self, request: &Request, stream: &mut TcpStream) -> std::io::Result<bool> {
        let mut head = format!("HTTP/1.1 {}\r\n", self.status);
        let told = |name: &str| self.headers.iter().any(|(known, _)| *known == name);
        if !told("Content-Length") && !self.endless {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        if request.method == "HEAD" {
            return Ok(true);
        }
        let body = &self.body[..self.cut.unwrap_or(self.body.len()).min(self.body.len())];
        if self.drips {
            for byte in body.iter().cycle() {
                stream.write_all(&[*byte])?;
                stream.flush()?;
                thread::sleep(Duration::from_millis(50));
            }
        }
        stream.write_all(body)?;
        if self.endless {
            loop {
                stream.write_all(body)?;
            }
        }
        let sized = self
            .headers
            .iter()
            .find(|(name, _)| *name == "Content-Length");
        let whole = sized.is_none_or(|(_, size)| *size == body.len().to_string());
        Ok(self.cut.is_none() && whole)
    }
}

/// A server on a port of its own; it ends with the test.
pub struct Server {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    ended: Arc<AtomicBool>,
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            requests: Arc::default(),
            ended: Arc::default(),
        };
        let (requests, ended) = (server.requests.clone(), server.ended.clone());
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let (requests, answer) = (requests.clone(), answer.clone());
                thread::spawn(move || {
                    while let Some(request) = read(&stream, &requests) {
                        let reply = answer(&request);
                        if !reply.send(&request, &mut stream).unwrap_or(false) {
                            return;
                        }
                    }
                });
            }
        });
        server
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// How many requests of the method have the part in their path.
    pub fn count(&self, method: &str, part: &str) -> usize {
        let requests = self.requests();
        requests.iter().filter(|it| it.is(method, part)).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
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
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length");
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut requests = requests.lock().unwrap();
    requests.push(Request {
        method,
        path,
        headers,
        body,
    });
    requests.last().cloned()
}

/// A repository as a hub serves it.
#[derive(Clone, Debug)]
pub struct Repo {
    /// `models/ORG/NAME` or `datasets/ORG/NAME`.
    pub api: String,
    pub commit: String,
    pub files: BTreeMap<String, Vec<u8>>,
    /// Where files of weights lie.
    pub store: Option<String>,
}

impl Repo {
    pub fn new(api: &str, files: &[(&str, &[u8])]) -> Self {
        Self {
            api: api.to_owned(),
            commit: "c0".repeat(20),
            files: files
                .iter()
                .map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()))
                .collect(),
            store: None,
        }
    }

    pub fn answer(&self, request: &Request) -> Reply {
        let path = request.path.split('?').next().unwrap();
        if let Some(revision) = path.strip_prefix(&format!("/api/{}/revision/", self.api)) {
            return match ["main", "refs%2Fpr%2F1", &self.commit].contains(&revision) {
                true => {
                    let names = self.files.keys();
                    let files: Vec<_> = names
                        .map(|name| serde_json::json!({"rfilename": name}))
                        .collect();
                    let info =
                        serde_json::json!({"id": "x", "sha": self.commit, "siblings": files});
                    Reply::new("200 OK", info.to_string())
                }
                false => Reply::new("404 Not Found", "{}").with("X-Error-Code", "RevisionNotFound"),
            };
        }
        let own = self.api.strip_prefix("models/").unwrap_or(&self.api);
        let file = path.strip_prefix(&format!("/{own}/resolve/{}/", self.commit));
        let Some(file) = file else {
            return Reply::new("404 Not Found", "{}").with("X-Error-Code", "RepoNotFound");
        };
        let file = file.replace("%20", " ");
        let Some(bytes) = self.files.get(&file) else {
            return Reply::new("404 Not Found", "")
                .with("X-Error-Code", "EntryNotFound")
                .with("X-Repo-Commit", &*self.commit);
        };
        let reply = match (&self.store, file.ends_with(".safetensors")) {
            (Some(store), true) => Reply::new("302 Found", "")
                .with("Location", format!("{store}/{file}?Signature=signed"))
                .with("X-Linked-Etag", format!("\"{}\"", sha256(bytes)))
                .with("X-Linked-Size", bytes.len().to_string()),
            (None, true) => ranged(request, bytes).with("ETag", format!("\"{}\"", sha256(bytes))),
            _ => ranged(request, bytes).with("ETag", format!("\"{}\"", git(bytes))),
        };
        reply.with("X-Repo-Commit", &*self.commit)
    }

    /// The other host, to which large files are sent on.
    pub fn stored(&self, request: &Request) -> Reply {
        let path = request.path.split('?').next().unwrap();
        match self.files.get(path.trim_start_matches('/')) {
            Some(bytes) => ranged(request, bytes),
            None => Reply::new("404 Not Found", ""),
        }
    }
}

/// The whole, or the part that is asked for.
pub fn ranged(request: &Request, bytes: &[u8]) -> Reply {
    match request.from() {
        Some(from) if from >= bytes.len() => Reply::new("416 Range Not Satisfiable", ""),
        Some(from) => Reply::new("206 Partial Content", &bytes[from..]).with(
            "Content-Range",
            format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len()),
        ),
        None => Reply::new("200 OK", bytes),
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(&sha2::Sha256::digest(bytes))
}

/// Git's name of a file with this content.
pub fn git(bytes: &[u8]) -> String {
    let object = [format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat();
    hex(&sha1::Sha1::digest(object))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
