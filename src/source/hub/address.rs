//! Addresses: their origin, their display without secrets, and the targets of redirects.

/// Returns scheme, host and port of an address. Only the hub's own origin gets the token.
pub(super) fn origin(url: &str) -> Option<&str> {
    let scheme = ["https://", "http://"].into_iter().find(|scheme| url.starts_with(scheme))?;
    let end = url[scheme.len()..].find(['/', '?', '#']).map_or(url.len(), |end| scheme.len() + end);
    (end > scheme.len()).then(|| &url[..end])
}

/// Removes secrets from an address: a name and password before the host, a signature in the query.
pub(super) fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match origin(url).and_then(|origin| origin.rfind('@')) {
        Some(at) => {
            let scheme = url.find("://").map_or(0, |end| end + 3);
            format!("{}{}", &url[..scheme], &url[at + 1..])
        }
        None => url.to_owned(),
    }
}

/// Returns the target of a redirect; `None` if it is no address, or leaves https.
pub(super) fn target(from: &str, location: &str) -> Option<String> {
    if location.starts_with('/') && !location.starts_with("//") {
        return Some(format!("{}{location}", origin(from)?));
    }
    let less_safe = from.starts_with("https://") && !location.starts_with("https://");
    (origin(location).is_some() && !less_safe).then(|| location.to_owned())
}

/// Escapes a segment of a path.
pub(super) fn escape(segment: &str) -> String {
    let escaped = segment.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    escaped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert_eq!(origin("https://hub.example/a?b"), Some("https://hub.example"));
        assert_eq!(origin("http://127.0.0.1:80"), Some("http://127.0.0.1:80"));
        for none in ["", "hub.example", "ftp://hub.example", "https://", "https:///a"] {
            assert_eq!(origin(none), None, "{none}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(shown("https://me:secret@hub.example/a/b?signature=secret#c"), "https://hub.example/a/b");
        assert_eq!(shown("https://hub.example/@a"), "https://hub.example/@a");
    }

    #[test]
    fn redirects_lead_to_addresses_that_are_no_less_safe() {
        let from = "https://hub.example/a/b";
        assert_eq!(target(from, "/c?d").as_deref(), Some("https://hub.example/c?d"));
        assert_eq!(target(from, "https://store.example/c").as_deref(), Some("https://store.example/c"));
        for none in ["http://hub.example/c", "//store.example/c", "c", "file:///c", ""] {
            assert_eq!(target(from, none), None, "{none}");
        }
    }

    #[test]
    fn segments_of_paths_are_escaped() {
        assert_eq!(escape("refs/pr/1 ä"), "refs%2Fpr%2F1%20%C3%A4");
    }
}
