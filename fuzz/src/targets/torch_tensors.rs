//! The files of [`super::pickles`], read in memory: a thousand times as many as through a model's folder.

use arbitrary::{Arbitrary, Unstructured};
use rushlight::fuzz::torch_tensors;

use super::pickles::File;

/// Views may share a storage, up to this multiple of the file.
const MAX_GROWTH: usize = 16;

pub fn check(data: &[u8]) {
    let Ok(file) = File::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let file = file.bytes();
    match torch_tensors(&file) {
        Ok(tensors) => {
            for (bits, shape, data) in &tensors {
                assert_eq!(data.len() * 8, shape.iter().product::<usize>() * bits, "{shape:?}");
            }
            let total: usize = tensors.iter().map(|(.., data)| data.len()).sum();
            assert!(total <= MAX_GROWTH * file.len(), "{total} bytes of {}", file.len());
        }
        Err(problem) => assert!(!problem.is_empty() && problem.len() < 10_000, "{problem}"),
    }
}
