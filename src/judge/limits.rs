//! What a server is given, and what it may take.

use std::time::Duration;

/// How a server is treated, and what may be spent.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests under way at once.
    pub concurrency: usize,
    /// For one request, from the connection to the last byte.
    pub timeout: Duration,
    /// For finding and connecting to the server.
    pub connect_timeout: Duration,
    /// How often a request is sent again.
    pub max_retries: u32,
    /// The wait before it is sent again for the first time; it doubles from there.
    pub first_wait: Duration,
    /// The longest such wait, and the longest `Retry-After` that is obeyed.
    pub longest_wait: Duration,
    /// The largest response that is read.
    pub max_response_bytes: usize,
    /// After how many failed questions in a row the server is given up.
    pub max_failures: usize,
    pub max_requests: Option<u64>,
    pub max_tokens_total: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 4,
            timeout: Duration::from_secs(120),
            connect_timeout: Duration::from_secs(10),
            max_retries: 5,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
            max_response_bytes: 4 << 20,
            max_failures: 10,
            max_requests: None,
            max_tokens_total: None,
        }
    }
}
