//! What a run leaves on disk: finished artifacts by content hash, files that are whole or absent,
//! step metrics that survive a kill, progress lines, and the request to stop.
// What is printed goes through `print` and `say` of the store: a closed pipe must end nothing.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod artifact;
mod bad_input;
mod events;
mod files;
mod metrics;
pub mod numbers;
mod owned;
mod progress;
mod seal;
mod stop;
mod terminal;
mod verify;

pub use artifact::{Begun, Found, Manifest, Store, Work};
pub use bad_input::{BadInput, OrBadInput};
pub use events::Events;
pub use files::atomic::{
    read_json, read_jsonl, read_text, stream_jsonl, write_atomic, write_json, write_jsonl,
    write_with,
};
pub use files::hash::{Hash, hash_bytes, hash_dir, hash_file, hash_json, hash_path};
pub use files::regular::{all_regular, read_regular, regular};
pub use metrics::{Metrics, read_metrics};
pub use owned::{Foreign, Owned};
pub use progress::{Progress, clock};
pub use seal::{Seal, Seals, read_sealed, read_sealed_dir, seal_dir, write_sealed};
pub use stop::{STOPPED, Stop, Stopped};
pub use terminal::{Log, Unread, clean, print, print_json, print_json_lines, say};
pub use verify::{Checked, Condition, FOLDER, check_artifact};
