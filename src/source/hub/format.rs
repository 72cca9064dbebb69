//! Completeness check of a downloaded file by its format, for servers that give neither a size nor a hash.

use std::fs::File;
use std::io::{Read, Result};
use std::path::Path;

use serde::de::IgnoredAny;
use serde_json::Value;

/// Checks a file of this name and size, read from its beginning; the inner error describes the problem.
pub(super) fn check(name: &str, size: u64, file: &mut File) -> Result<std::result::Result<(), String>> {
    let format = match Path::new(name).extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => safetensors_size(file)?.map(|expected| expected == size),
        Some("json" | "metadata") => {
            Some(serde_json::from_reader::<_, IgnoredAny>(std::io::BufReader::new(file)).is_ok())
        }
        // The directory of a zip archive is at its end.
        Some("bin") => Some(zip::ZipArchive::new(file).is_ok()),
        _ => {
            let problem = "can't check that the file is complete: the hub gives neither size nor hash, and the format doesn't tell";
            return Ok(Err(problem.to_owned()));
        }
    };
    Ok(if format == Some(true) { Ok(()) } else { Err(format!("ended after {size} bytes, an incomplete file")) })
}

/// Returns the size of a safetensors file by its header; `None` for a malformed header.
fn safetensors_size(file: &mut File) -> Result<Option<u64>> {
    let mut length = [0; 8];
    if file.read_exact(&mut length).is_err() {
        return Ok(None);
    }
    let length = u64::from_le_bytes(length);
    let mut header = Vec::new();
    file.take(length.min(MAX_HEADER)).read_to_end(&mut header)?;
    let Ok(Value::Object(tensors)) = serde_json::from_slice(&header) else { return Ok(None) };
    let ends = tensors.values().filter_map(|tensor| tensor.pointer("/data_offsets/1")?.as_u64());
    Ok(ends.max().unwrap_or(0).checked_add(length).and_then(|size| size.checked_add(8)))
}

/// Size limit of the header in the safetensors crate.
const MAX_HEADER: u64 = 100_000_000;

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn is_whole(name: &str, content: &[u8]) -> bool {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file.rewind().unwrap();
        check(name, content.len() as u64, &mut file).unwrap().is_ok()
    }

    /// Checks that a file is complete, and none of its prefixes.
    fn only_whole(name: &str, content: &[u8]) {
        assert!(is_whole(name, content), "{name}");
        for end in 0..content.len() {
            assert!(!is_whole(name, &content[..end]), "{name} of {end} bytes");
        }
    }

    #[test]
    fn formats_tell_a_whole_file_from_its_beginning() {
        let header = br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"__metadata__":{"format":"pt"}}"#;
        let mut weights = (header.len() as u64).to_le_bytes().to_vec();
        weights.extend(header);
        weights.extend([1; 8]);
        only_whole("model.safetensors", &weights);
        weights.push(0);
        assert!(!is_whole("2_Dense/model.safetensors", &weights));
        assert!(!is_whole("model.safetensors", &[255; 64]));
        only_whole("1_Pooling/config.json", br#"{"a": [1, "b"]}"#);
        only_whole("artifact.metadata", b"{}");

        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        archive.start_file("archive/data.pkl", zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(b"pickle").unwrap();
        only_whole("pytorch_model.bin", &archive.finish().unwrap().into_inner());

        for untold in ["vocab.txt", "merges.txt", "spiece.model", "README"] {
            assert!(!is_whole(untold, b"whatever"), "{untold}");
        }
    }
}
