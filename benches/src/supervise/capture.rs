//! What the program wrote.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Output of a program, in a temporary file that has no name.
#[derive(Debug)]
pub struct Captured {
    /// `fnv1a128:` and 32 hexadecimal digits: the 128-bit FNV-1a hash of all of
    /// it. Tells outputs apart; no protection against forgery.
    pub digest: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// To read it back; the position of the file is at its end.
    pub file: File,
}

impl Captured {
    pub(super) fn new(file: File) -> io::Result<Captured> {
        let mut buffer = vec![0; 64 * 1024];
        let (mut bytes, mut hash) = (0, OFFSET_BASIS);
        loop {
            let n = file.read_at(&mut buffer, bytes)?;
            if n == 0 {
                break;
            }
            hash = fnv1a128(hash, &buffer[..n]);
            bytes += n as u64;
        }
        Ok(Captured { digest: format!("fnv1a128:{hash:032x}"), bytes, file })
    }

    /// The last `limit` bytes, with what is no UTF-8 replaced.
    pub fn end(&self, limit: u64) -> io::Result<String> {
        tail(&self.file, limit)
    }

    /// All of it.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut all = vec![0; self.bytes as usize];
        self.file.read_exact_at(&mut all, 0)?;
        Ok(all)
    }
}

/// The last `limit` bytes of a file, with what is no UTF-8 replaced.
pub(super) fn tail(file: &File, limit: u64) -> io::Result<String> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(limit);
    let mut bytes = vec![0; (length - start) as usize];
    file.read_exact_at(&mut bytes, start)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

const OFFSET_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;

fn fnv1a128(hash: u128, bytes: &[u8]) -> u128 {
    const PRIME: u128 = (1 << 88) + 0x13b;
    bytes.iter().fold(hash, |hash, &byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_fnv1a_of_128_bits() {
        // Of the authors' published test vectors.
        assert_eq!(fnv1a128(OFFSET_BASIS, b""), 0x6c62272e07bb014262b821756295c58d);
        assert_eq!(fnv1a128(OFFSET_BASIS, b"a"), 0xd228cb696f1a8caf78912b704e4a8964);
        assert_eq!(fnv1a128(OFFSET_BASIS, b"foobar"), 0x343e1662793c64bf6f0d3597ba446f18);
    }
}
