//! A recipe that is added to `experiments/` is one more that the program carries.

fn main() {
    println!("cargo:rerun-if-changed=experiments");
}
