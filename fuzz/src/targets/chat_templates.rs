//! Chat templates out of the words of Jinja.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Result, Unstructured};

use super::super::folder::on_case;
use super::super::oracle::check_folder;
use super::super::texts::Texts;

const CASES: [&str; 3] =
    ["tiny/qwen3-chat-template-lasttoken", "rerank/rerank-qwen3-causal", "rerank/rerank-llama-causal-structured"];

const WORDS: [&str; 64] = [
    "{{", "}}", "{%", "%}", "{#", "#}", "{%-", "-%}", " ", "\n", "if ", "else", "elif ", "endif", "for m in messages",
    "endfor", "set x = ", "set ns = namespace(n=0)", "set ns.n = ns.n + 1", "macro f(a)", "endmacro", "f(1)", "messages",
    "messages[0]", "m", ".content", ".role", "['content']", "loop.index", "loop.last", "not ", " and ", " in ", " == ",
    " + ", " ~ ", " * ", " // ", " ** ", "1000000", "'user'", "'query'", "'document'", "x", "| trim", "| tojson",
    "| length", "| join(',')", "| replace('a','b')", ".strip()", ".split('\\n')", "[::-1]", "[:-1]", "range(100000)",
    "add_generation_prompt", "bos_token", "eos_token", "raise_exception('no')", "strftime_now('%Y')", "is defined",
    "is string", "break", "continue", "()",
];

/// A template.
#[derive(Debug)]
pub(super) struct Template(pub(super) String);

impl<'a> Arbitrary<'a> for Template {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let mut template = String::new();
        for _ in 0..bytes.int_in_range(0..=60)? {
            match bytes.int_in_range(0..=15)? {
                0 => template.push(bytes.arbitrary()?),
                1 => template.push_str("{{ messages[0].content }}"),
                2 => template.push_str("{% for m in messages %}{{ m.content }}{{ m.role }}"),
                _ => template.push_str(bytes.choose(&WORDS)?),
            }
        }
        Ok(Self(template))
    }
}

pub fn check(data: &[u8]) {
    let Ok((case, template, keep, texts)) =
        <(u8, Template, bool, Texts)>::arbitrary_take_rest(Unstructured::new(data))
    else {
        return;
    };
    on_case(CASES[usize::from(case) % CASES.len()], |folder| {
        let name = "chat_template.jinja";
        let own = folder.files.get(name).filter(|_| keep).map_or(&b""[..], Vec::as_slice);
        let files = BTreeMap::from([(name.to_owned(), Some([own, template.0.as_bytes()].concat()))]);
        folder.with(&files, |path| check_folder(path, &texts.as_strs()));
    });
}
