//! Folders of late interaction, in the layouts of sentence-transformers, PyLate and Stanford's ColBERT.

use std::sync::LazyLock;

use super::configs::check_case;
use super::super::folder::cases;

pub fn check(data: &[u8]) {
    static CASES: LazyLock<Vec<String>> = LazyLock::new(|| cases("multi_vector"));
    check_case(&CASES, data);
}
