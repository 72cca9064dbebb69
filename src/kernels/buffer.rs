//! Memory for activations and panels, aligned to a cache line.

use std::ops::{Deref, DerefMut};

use crate::alloc;
use crate::error::Result;

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([f32; Line::LEN]);

impl Line {
    /// Number of floats in a cache line.
    const LEN: usize = 16;
}

/// `len` floats, the first at the beginning of a cache line.
#[derive(Default)]
pub(crate) struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    /// Makes the buffer `len` floats long. Their values are old or zero: callers write before they read.
    ///
    /// Use it for scratch of a bounded size. It aborts without memory, as `Vec` does.
    #[inline]
    pub(crate) fn resize(&mut self, len: usize) {
        let lines = len.div_ceil(Line::LEN);
        if lines > self.lines.len() {
            // New memory, because growing would copy values that nobody reads.
            self.lines = vec![bytemuck::Zeroable::zeroed(); lines];
        }
        self.len = len;
    }

    /// [`Buffer::resize`] for sizes that a text or a file chooses.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory), which names `what`; the buffer is then empty.
    pub(crate) fn try_resize(&mut self, len: usize, what: &str) -> Result<()> {
        let lines = len.div_ceil(Line::LEN);
        if lines > self.lines.len() {
            *self = Self::default();
            self.lines = alloc::filled(bytemuck::Zeroable::zeroed(), lines, what)?;
        }
        self.len = len;
        Ok(())
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn a_buffer_grows_is_aligned_and_survives_a_lack_of_memory() {
        let mut buffer = Buffer::default();
        for len in [0, 1, 17, 5, 1000] {
            buffer.try_resize(len, "a test").unwrap();
            assert_eq!(buffer.len(), len);
            assert!(len == 0 || buffer.as_ptr().addr().is_multiple_of(64));
        }
        let error = buffer.try_resize(1 << 60, "a test").unwrap_err();
        assert!(matches!(&error, Error::Memory { what, bytes } if what == "a test" && *bytes == 1 << 62), "{error}");
        assert!(buffer.is_empty());
        buffer.resize(3);
        assert_eq!(buffer[..], [0.0; 3]);
    }
}
