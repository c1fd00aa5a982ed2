//! Streams of a seed, by name.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The stream of that name, so that what one part draws has nothing to do with how many others there are.
pub fn stream(name: &str) -> u64 {
    let hash = blake3::hash(name.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// The draws of a seed's stream of that name.
pub fn seeded(seed: u64, name: &str) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream(name));
    rng
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_known_by_its_name_alone() {
        // Of another value, every artifact that draws by name is another: raise their kinds' versions.
        assert_eq!(stream("train"), 1_543_187_111_010_657_345);
        assert_ne!(stream("train"), stream("valid"));
    }
}
