//! Reading images.

use super::Reader;
use super::text::Read;
use crate::error::{Error, Result};
use crate::images::Image;

impl Reader {
    /// Decodes an image and makes the model's pixels of it. Returns its tokens, or the problem with it.
    pub(super) fn read_image(&self, image: Image<'_>) -> Result<Read> {
        let Some(processor) = &self.loaded.images else {
            let folder = self.loaded.folders.folder.display();
            return Ok(Err(format!("is an image, but the model in {folder} embeds texts alone")));
        };
        match processor.prepare(image) {
            Err(Error::InvalidInput { problem, .. }) => Ok(Err(problem)),
            tokens => Ok(Ok(tokens?)),
        }
    }
}
