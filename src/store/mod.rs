//! What a run leaves on disk: finished artifacts by content hash, files that are whole or absent,
//! step metrics that survive a kill, progress lines, and the request to stop.

mod artifact;
mod atomic;
mod bad_input;
mod hash;
mod metrics;
mod progress;
mod regular;
mod stop;

pub use artifact::{Begun, Manifest, Store, Work};
pub use atomic::{
    read_json, read_jsonl, read_text, stream_jsonl, write_atomic, write_json, write_jsonl,
    write_with,
};
pub use bad_input::{BadInput, OrBadInput};
pub use hash::{Hash, hash_bytes, hash_dir, hash_file, hash_json, hash_path};
pub use metrics::{Metrics, read_metrics};
pub use progress::{Progress, say};
pub use regular::read_regular;
pub use stop::{Stop, Stopped};
