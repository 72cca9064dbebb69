//! The templates of [`super::chat_templates`], rendered without a model.

use arbitrary::{Arbitrary, Unstructured};
use rushlight::fuzz::render_chat_template;

use super::super::texts::Text;
use super::chat_templates::Template;

/// Upper bound of a rendered text in bytes: that of the engine's budget.
const MAX_BYTES: usize = 1 << 28;

pub fn check(data: &[u8]) {
    let Ok((template, text)) = <(Template, Text)>::arbitrary_take_rest(Unstructured::new(data)) else { return };
    match render_chat_template(&template.0, &text.0) {
        Ok(rendered) => assert!(rendered.len() < MAX_BYTES, "{} bytes", rendered.len()),
        Err(problem) => assert!(!problem.is_empty() && !problem.contains("panicked"), "{problem}"),
    }
}
