//! Files of `torch.save`: programs of opcodes that make tensors, nearly, in both formats.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use arbitrary::{Arbitrary, Result, Unstructured};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::super::folder::on_case;
use super::super::oracle::{TEXTS, check_folder};

const CASE: &str = "static/model2vec-vocabulary";

#[derive(Arbitrary, Debug)]
pub(super) enum File {
    /// The file as it is.
    Raw(Vec<u8>),
    Zip { pickle: Program, storages: Vec<Storage>, order: Option<Vec<u8>> },
    Older { pickle: Program, keys: Vec<u8>, storages: Vec<Storage> },
}

#[derive(Arbitrary, Debug)]
pub(super) struct Storage {
    key: u8,
    size: u16,
    /// Added to the number of elements that the older format records.
    more: i8,
    seed: u8,
}

/// A pickle.
#[derive(Debug)]
pub(super) struct Program(Vec<u8>);

const GLOBALS: [&[u8]; 10] = [
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch._utils\n_rebuild_parameter\n",
    b"ctorch._tensor\n_rebuild_from_type_v2\n",
    b"ccollections\nOrderedDict\n",
    b"ctorch\nFloatStorage\n",
    b"ctorch\nHalfStorage\n",
    b"ctorch\nCharStorage\n",
    b"ctorch\nLongStorage\n",
    b"ctorch\nTensor\n",
    b"cposix\nsystem\n",
];
const WORDS: [&str; 8] = ["storage", "0", "1", "cpu", "embeddings", "weights", "mapping", "little_endian"];
const OPCODES: &[u8] = b".(qrasubN\x88\x89KMJ\x8aGX\x8ch j]})\x85\x86\x87tRQ\x93\x94\x95";

impl<'a> Arbitrary<'a> for Program {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let mut program = vec![0x80, 2];
        for _ in 0..bytes.int_in_range(0..=60)? {
            match bytes.int_in_range(0..=7)? {
                0 => program.extend_from_slice(bytes.choose(&GLOBALS)?),
                1 => text(bytes.choose(&WORDS)?, &mut program),
                2 => program.extend([b'K', bytes.arbitrary()?]),
                3 => {
                    program.push(b'J');
                    program.extend_from_slice(&bytes.arbitrary::<[u8; 4]>()?);
                }
                4 => tensor(bytes, &mut program)?,
                5 => program.push(bytes.arbitrary()?),
                _ => program.push(*bytes.choose(OPCODES)?),
            }
        }
        program.push(b'.');
        Ok(Self(program))
    }
}

fn text(text: &str, program: &mut Vec<u8>) {
    program.extend([0x8c, text.len() as u8]);
    program.extend_from_slice(text.as_bytes());
}

fn numbers(bytes: &mut Unstructured<'_>, program: &mut Vec<u8>) -> Result<()> {
    program.push(b'(');
    for _ in 0..bytes.int_in_range(0..=3)? {
        program.extend([b'K', bytes.arbitrary()?]);
    }
    program.push(b't');
    Ok(())
}

/// Adds a dict with one tensor, or its item for a dict below it.
fn tensor(bytes: &mut Unstructured<'_>, program: &mut Vec<u8>) -> Result<()> {
    if bytes.ratio(1, 3)? {
        program.push(b'}');
    }
    text(bytes.choose(&WORDS)?, program);
    program.extend_from_slice(GLOBALS[0]);
    program.extend(*b"((");
    text("storage", program);
    program.extend_from_slice(GLOBALS[bytes.int_in_range(4..=7)?]);
    text(bytes.choose(&["0", "1"])?, program);
    text("cpu", program);
    program.extend([b'M', bytes.arbitrary()?, bytes.int_in_range(0..=8)?]);
    program.extend(*b"tQ");
    program.extend([b'K', bytes.arbitrary()?]);
    numbers(bytes, program)?;
    numbers(bytes, program)?;
    program.extend(*b"\x89h\x00tRs");
    Ok(())
}

impl Storage {
    fn bytes(&self) -> Vec<u8> {
        (0..self.size % 4096).map(|i| self.seed.wrapping_add((i / 5) as u8) & 0x3f).collect()
    }
}

impl File {
    pub(super) fn bytes(self) -> Vec<u8> {
        match self {
            Self::Raw(bytes) => bytes,
            Self::Zip { pickle, storages, order } => zipped(&pickle, &storages, order.as_deref()),
            Self::Older { pickle, keys, storages } => {
                let mut file = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.".to_vec();
                file.extend(*b"\x80\x02}");
                text("little_endian", &mut file);
                file.extend(*b"\x88s.");
                file.extend(pickle.0);
                file.extend(*b"\x80\x02](");
                keys.iter().take(4).for_each(|key| text(&(key % 3).to_string(), &mut file));
                file.extend(*b"e.");
                for storage in storages.iter().take(4) {
                    let count = u64::from(storage.size % 4096 / 4).saturating_add_signed(storage.more.into());
                    file.extend(count.to_le_bytes());
                    file.extend(storage.bytes());
                }
                file
            }
        }
    }
}

fn zipped(pickle: &Program, storages: &[Storage], order: Option<&[u8]>) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut add = |name: &str, content: &[u8]| {
        // A name can come twice, which the writer refuses.
        if zip.start_file(name, stored).is_ok() {
            zip.write_all(content).unwrap();
        }
    };
    add("model/data.pkl", &pickle.0);
    if let Some(order) = order {
        add("model/byteorder", order);
    }
    storages.iter().take(4).for_each(|storage| add(&format!("model/data/{}", storage.key % 3), &storage.bytes()));
    zip.finish().unwrap().into_inner()
}

pub fn check(data: &[u8]) {
    let Ok(file) = File::arbitrary_take_rest(Unstructured::new(data)) else { return };
    on_case(CASE, |folder| {
        let files = BTreeMap::from([
            ("model.safetensors".to_owned(), None),
            ("pytorch_model.bin".to_owned(), Some(file.bytes())),
        ]);
        folder.with(&files, |path| check_folder(path, &TEXTS));
    });
}
