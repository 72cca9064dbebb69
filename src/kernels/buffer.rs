//! Memory for activations and packed weights, aligned to a cache line.

use std::ops::{Deref, DerefMut};

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// `len` floats, the first at the beginning of a cache line.
#[derive(Default)]
pub(crate) struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    /// Makes it `len` long. What it holds then is old or zero: it is for being written over.
    pub(crate) fn resize(&mut self, len: usize) {
        let lines = len.div_ceil(16);
        if lines > self.lines.len() {
            // A new allocation comes zeroed from the system; growing would copy what nobody reads.
            self.lines = vec![bytemuck::Zeroable::zeroed(); lines];
        }
        self.len = len;
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
