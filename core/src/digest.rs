//! Digests that tell whether bytes have changed.

use xxhash_rust::xxh3::Xxh3;

/// xxh3 of several buffers one after the other, 128 bits in hexadecimal. It finds damage, not forgery.
pub fn digest(buffers: &[&[u8]]) -> String {
    let mut hash = Xxh3::new();
    for buffer in buffers {
        hash.update(buffer);
    }
    format!("{:032x}", hash.digest128())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_hashed_as_one() {
        assert_eq!(digest(&[b"ab", b"", b"c"]), digest(&[b"abc"]));
        assert_ne!(digest(&[b"abc"]), digest(&[b"abd"]));
    }
}
