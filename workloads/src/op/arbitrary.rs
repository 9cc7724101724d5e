//! Operations out of a fuzzer's bytes.

use arbitrary::{Arbitrary, Result, Unstructured};

use super::draw::Bits;
use super::{Op, Shape};

/// A fuzzer's bytes as a source of bits: whole bytes, so that each operation
/// takes a few of them and mutations stay local.
#[derive(Debug)]
pub struct Bytes<'a, 'b>(pub &'b mut Unstructured<'a>);

impl Bits for Bytes<'_, '_> {
    fn bits(&mut self, bits: u32) -> u64 {
        let mut bytes = [0; 8];
        // What is missing reads as zero.
        let len = (bits.div_ceil(8) as usize).min(self.0.len()).min(8);
        match self.0.bytes(len) {
            Ok(drawn) => bytes[..len].copy_from_slice(drawn),
            Err(_) => return 0,
        }
        u64::from_le_bytes(bytes)
    }
}

impl Shape<'_> {
    /// What [`Arbitrary`] draws: small programs, every kind of request and no
    /// event, which suits any allocator.
    pub const ARBITRARY: Shape<'static> =
        Shape { slots: 32, largest: 1 << 20, impossible: true, ..Shape::PLAIN };

    /// Draws a program that uses up `bytes`.
    ///
    /// # Errors
    ///
    /// None; the type is what `arbitrary` wants.
    pub fn program(&self, bytes: &mut Unstructured<'_>) -> Result<Vec<Op>> {
        let mut program = Vec::with_capacity(bytes.len() / 4);
        while !bytes.is_empty() {
            program.push(Op::draw(&mut Bytes(bytes), self));
        }
        Ok(program)
    }
}

impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Op> {
        Ok(Op::draw(&mut Bytes(bytes), &Shape::ARBITRARY))
    }

    fn size_hint(_: usize) -> (usize, Option<usize>) {
        (1, Some(24))
    }
}
