use std::path::PathBuf;

use safetensors::SafeTensors;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

type Tensors = BTreeMap<String, TorchTensor>;

const FILES: [&str; 3] = ["views.bin", "views-protocol4.bin", "views-older.bin"];

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/torch").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

fn parse(file: &[u8]) -> Result<Tensors> {
    super::parse(file)?.into_iter().map(|(name, view)| Ok((name, view.into_tensor()?))).collect()
}

fn problem(file: &[u8]) -> String {
    parse(file).unwrap_err()
}

// An assembler of pickles.

fn text(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap();
    [b"X", &length.to_le_bytes()[..], text.as_bytes()].concat()
}

fn int(value: i64) -> Vec<u8> {
    [&[0x8a, 8], &value.to_le_bytes()[..]].concat()
}

fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(", &items.concat()[..], b"t"].concat()
}

fn ints(values: &[i64]) -> Vec<u8> {
    tuple(&values.iter().copied().map(int).collect::<Vec<_>>())
}

fn call(module: &str, name: &str, arguments: &[Vec<u8>]) -> Vec<u8> {
    [global(module, name), tuple(arguments), b"R".to_vec()].concat()
}

fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [b"](", &items.concat()[..], b"e"].concat()
}

fn dict(items: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items: Vec<_> = items.iter().map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [b"}(", &items.concat()[..], b"u"].concat()
}

fn pickle(value: &[u8]) -> Vec<u8> {
    [&[0x80, 2], value, b"."].concat()
}

fn storage(class: &str, key: &str, count: i64) -> Vec<u8> {
    let id = tuple(&[text("storage"), global("torch", class), text(key), text("cpu"), int(count)]);
    [id, b"Q".to_vec()].concat()
}

/// Returns the arguments of a float tensor in storage "0" of 6 elements.
fn view(offset: i64, shape: &[i64], strides: &[i64]) -> Vec<Vec<u8>> {
    vec![storage("FloatStorage", "0", 6), int(offset), ints(shape), ints(strides), b"\x89".to_vec(), b"N".to_vec()]
}

fn tensor(offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    call("torch._utils", "_rebuild_tensor_v2", &view(offset, shape, strides))
}

/// Returns a file of the older format with this state dict, and the floats 0 to 5 in storage "0".
fn older(state_dict: &[u8]) -> Vec<u8> {
    let Value::Long(magic) = MAGIC else { unreachable!() };
    let mut file = pickle(&[&[0x8a, 10], magic].concat());
    file.extend(pickle(&int(1001)));
    file.extend(pickle(&dict(&[("little_endian", b"\x88".to_vec())])));
    file.extend(pickle(state_dict));
    file.extend(pickle(&list(&[text("0")])));
    file.extend(6_u64.to_le_bytes());
    file.extend((0..6_u8).flat_map(|number| f32::from(number).to_le_bytes()));
    file
}

/// Returns such a file with a tensor of the whole storage, and another value.
fn older_with(value: Vec<u8>) -> Vec<u8> {
    older(&dict(&[("whole", tensor(0, &[6], &[1])), ("value", value)]))
}

fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(vec![]));
    for (name, data) in entries {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut writer, data).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn floats(tensor: &TorchTensor) -> Vec<f32> {
    tensor.data.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect()
}

#[test]
fn reads_views_as_torch_does() {
    let file = bytes("views.safetensors");
    let expected: Tensors = SafeTensors::deserialize(&file)
        .unwrap()
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            (name, TorchTensor { dtype: view.dtype(), shape: view.shape().to_vec(), data: view.data().to_vec() })
        })
        .collect();
    assert_eq!(expected.len(), 22);
    for name in FILES {
        assert_eq!(read(&fixture(name)).unwrap(), expected, "{name}");
    }
}

#[test]
fn errors_name_the_file() {
    assert!(matches!(read(&fixture("absent.bin")), Err(Error::Io { path, .. }) if path == fixture("absent.bin")));
    let not_torch = fixture("views.safetensors");
    assert!(matches!(read(&not_torch), Err(Error::InvalidWeights { file, .. }) if file == not_torch));
}

#[test]
fn other_files_are_refused() {
    for file in [&b"{}"[..], &[0; 1024]] {
        let problem = problem(file);
        assert!(problem.starts_with("not a file of torch.save: neither a zip nor a pickle; "), "{problem}");
    }
    assert_eq!(problem(b""), "empty: fetch it again");
    assert!(problem(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n").contains("git lfs pull"));
    assert_eq!(problem(&pickle(&dict(&[]))), "a pickle, but not of torch.save");
    let mut version = older(&dict(&[("whole", tensor(0, &[6], &[1]))]));
    version[19] += 1;
    assert_eq!(problem(&version), "the older format of torch.save in another version than 1001");
    let big_endian = [&version[..15], &pickle(b"M\xe9\x03"), &pickle(b"}")].concat();
    assert_eq!(problem(&big_endian), "not from a little-endian machine, the only kind supported");
    assert_eq!(problem(&zip(&[("a.txt", b"")])), "zip: no data.pkl, or several");
}

#[test]
fn wrapped_tensors_are_tensors() {
    let arguments = view(1, &[2], &[2]);
    let inner = tuple(&arguments);
    let parameter = |tensor| call("torch._utils", "_rebuild_parameter", &[tensor, b"\x88".to_vec(), b"N".to_vec()]);
    let class = global("torch.nn.parameter", "Parameter");
    let typed = |function, arguments, state| {
        call("torch._tensor", "_rebuild_from_type_v2", &[function, class.clone(), arguments, state])
    };
    let rebuild = global("torch._utils", "_rebuild_tensor_v2");
    for value in [
        call("torch._utils", "_rebuild_tensor", &arguments[..4]),
        parameter(tensor(1, &[2], &[2])),
        typed(rebuild.clone(), inner.clone(), dict(&[("tag", text("x"))])),
        parameter(typed(rebuild, inner, dict(&[]))),
    ] {
        let tensors = parse(&older_with(value)).unwrap();
        assert_eq!((floats(&tensors["value"]), &tensors["value"].shape), (vec![1.0, 3.0], &vec![2]));
    }
    let deep = (0..=MAX_WRAPPERS).fold(tensor(0, &[], &[]), |tensor, _| parameter(tensor));
    assert_eq!(problem(&older_with(deep)), "a tensor in more than 4 wrappers");
}

#[test]
fn other_globals_are_refused_by_name() {
    let system = call("posix", "system", &[text("touch /pwned")]);
    let eval = [text("builtins"), text("eval"), b"\x93(".to_vec(), text("1"), b"tR".to_vec()].concat();
    for (value, name) in [
        (system, "posix.system"),
        (eval, "builtins.eval"),
        (global("torch", "load"), "torch.load"),
        (global("collections", "Counter"), "collections.Counter"),
        (global("torch", "a\u{1b}[31m"), "torch.a\\u{1b}[31m"),
    ] {
        let problem = problem(&older_with(value));
        assert!(problem.contains(&format!("refused: {name};")), "{problem}");
    }
    // INST, OBJ, NEWOBJ, EXT1
    for opcode in [b'i', b'o', 0x81, 0x82] {
        let problem = problem(&older_with(vec![opcode]));
        assert!(problem.contains(&format!("opcode {opcode:#04x}, which torch.save does not use")), "{problem}");
    }
}

#[test]
fn only_the_top_level_dict_is_read() {
    let nested = dict(&[("state_dict", dict(&[("whole", tensor(0, &[6], &[1]))]))]);
    assert!(problem(&older(&nested)).contains("no tensors in its top-level dict"));
    assert!(problem(&older(&tensor(0, &[6], &[1]))).contains("its top is no dict"));
    let number = [b"}".to_vec(), int(1), tensor(0, &[6], &[1]), b"s".to_vec()].concat();
    assert_eq!(problem(&older(&number)), "a tensor whose name is not text");
}

#[test]
fn nesting_and_sharing_cost_no_more_than_their_bytes() {
    let deep = [b")".to_vec(), vec![0x85; 1_000_000]].concat();
    assert_eq!(parse(&older_with(deep)).unwrap().len(), 1);
    let laughs: Vec<u8> = [b")q\0".to_vec(), b"h\0h\0\x86q\0".repeat(100_000)].concat();
    assert_eq!(parse(&older_with(laughs.clone())).unwrap().len(), 1);
    assert_eq!(Stream::new(&pickle(&laughs)).read().unwrap().nodes.len(), 100_001);
    // A list inside itself.
    assert_eq!(parse(&older_with(b"]q\0h\0a".to_vec())).unwrap().len(), 1);
    let long = older_with(vec![b'N'; 5 << 20]);
    assert!(problem(&long).contains("longer than 4194304 bytes"));
}

#[test]
fn integers_have_their_signs() {
    for (value, expected) in [
        (&b"\x8a\0"[..], 0),
        (b"\x8a\x01\xff", -1),
        (b"\x8a\x02\xff\0", 255),
        (b"\x8a\x08\0\0\0\0\0\0\0\x80", i64::MIN),
        (b"J\xfe\xff\xff\xff", -2),
        (b"M\xfe\xff", 65_534),
        (b"K\xff", 255),
    ] {
        assert_eq!(Stream::new(&pickle(value)).read().unwrap().root, Value::Int(expected));
    }
    let long = pickle(b"\x8a\x09\0\0\0\0\0\0\0\0\x01");
    assert_eq!(Stream::new(&long).read().unwrap().root, Value::Long(&[0, 0, 0, 0, 0, 0, 0, 0, 1]));
}

#[test]
fn malformed_pickles_are_refused() {
    for (value, expected) in [
        (&b"X\xff\xff\xff\xffabc"[..], "ends early"),
        (b"\x8a\xff\x01", "ends early"),
        (b"h\x09", "memo 9 is empty"),
        (b"", "a dict's key without a value"),
        (b"]a", "items for something that is not a list"),
        (b"(u", "keys for something that is not a dict"),
        (b"NNR", "a call of something that is not a function"),
        (b"ccollections\nOrderedDict\nNR", "an OrderedDict with arguments"),
        (b"X\x01\0\0\0\xff", "text that is not UTF-8"),
        (b"\x80\x06", "protocol 6"),
        (b"NQ", "a reference to something that is no storage"),
    ] {
        let problem = problem(&older_with(value.to_vec()));
        assert!(problem.contains(expected), "{problem} is not {expected}");
    }
    let empty = Stream::new(b".").read().err().unwrap();
    assert_eq!(empty, "pickle, before byte 1: nothing on the stack");
    assert!(Stream::new(b"e.").read().err().unwrap().contains("no mark on the stack"));
    // No item below a mark can be taken.
    assert!(Stream::new(b"N(\x85.").read().err().unwrap().contains("nothing on the stack"));
}

#[test]
fn views_beyond_their_storage_are_refused() {
    let big = i64::MAX;
    for (offset, shape, strides) in [
        (0, &[7][..], &[1][..]),
        (1, &[6], &[1]),
        (6, &[], &[]),
        (0, &[2, 3], &[4, 1]),
        (big, &[1], &[1]),
        (0, &[big, big], &[1, 1]),
        (0, &[big, big], &[0, 0]),
        (0, &[2], &[big]),
        (0, &[5], &[1 << 62]),
        (0, &[2, 2], &[big, big]),
        (0, &[6], &[]),
        (0, &[], &[1]),
    ] {
        let problem = problem(&older_with(tensor(offset, shape, strides)));
        assert!(problem.contains("in a storage of 24 bytes"), "{problem}");
    }
    for (offset, shape, strides) in [(-1, &[1][..], &[1][..]), (0, &[-1], &[1]), (5, &[2], &[-1])] {
        let problem = problem(&older_with(tensor(offset, shape, strides)));
        assert!(problem.contains("-1"), "{problem}");
    }
    assert!(problem(&older_with(tensor(0, &[1; 17], &[1; 17]))).contains("17 dimensions"));
    // A view within the storage, yet of 4 TB.
    assert!(problem(&older_with(tensor(0, &[1 << 40], &[0]))).contains("more than 16 times the file"));
    // An empty tensor with a large dimension.
    assert!(parse(&older_with(tensor(0, &[big, 0], &[1, 1]))).unwrap()["value"].data.is_empty());
}

#[test]
fn storages_must_be_as_the_pickle_says() {
    let value = |class, key, count| {
        let arguments = [storage(class, key, count), int(0), ints(&[1]), ints(&[1])];
        older_with(call("torch._utils", "_rebuild_tensor_v2", &arguments))
    };
    assert!(problem(&value("FloatStorage", "1", 6)).contains("its storage \"1\" is not in the file"));
    assert!(problem(&value("IntStorage", "0", 6)).contains("storage \"0\" has several dtypes or sizes"));
    assert!(problem(&value("FloatStorage", "0", 7)).contains("storage \"0\" has several dtypes or sizes"));
    for count in [-1, i64::MAX] {
        assert!(problem(&value("FloatStorage", "1", count)).contains("no storage"));
    }
    let mut short = older_with(b"N".to_vec());
    let count = short.len() - 24 - 8;
    short[count] = 5;
    assert!(problem(&short).contains("has not the 6 elements"));
}

#[test]
fn zips_must_be_as_torch_writes_them() {
    let data: Vec<u8> = (0..6_u8).flat_map(|number| f32::from(number).to_le_bytes()).collect();
    let state_dict = pickle(&dict(&[("whole", tensor(0, &[2, 3], &[3, 1]))]));
    let good = [("m/data.pkl", &state_dict[..]), ("m/data/0", &data), ("m/byteorder", b"little")];
    assert_eq!(floats(&parse(&zip(&good)).unwrap()["whole"]), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(parse(&zip(&good[..2])).unwrap().len(), 1);

    let with = |name, data| zip(&[&good[..2], &[(name, data)]].concat());
    assert!(problem(&with("m/byteorder", b"big")).contains("m/byteorder is not `little`"));
    assert!(problem(&with("n/data.pkl", b"")).contains("no data.pkl, or several"));
    assert!(problem(&zip(&good[..1])).contains("\"m/data/0\""));
    let short = zip(&[good[0], ("m/data/0", &data[..20])]);
    assert_eq!(problem(&short), "storage \"0\" has 20 bytes, but its tensors say 24");

    // Method and size of the first entry, in the directory.
    for (field, value) in [(10, 8), (20, 1)] {
        let mut compressed = zip(&good);
        let entry = compressed.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
        compressed[entry + field] = value;
        let problem = problem(&compressed);
        assert!(problem.starts_with("zip: \"m/data.pkl\"") && problem.contains("ompress"), "{problem}");
    }

    // A key is only a name in the zip.
    let arguments = [storage("ByteStorage", "../../Cargo.toml", 1), int(0), ints(&[1]), ints(&[1])];
    let outside = pickle(&dict(&[("x", call("torch._utils", "_rebuild_tensor_v2", &arguments))]));
    assert!(problem(&zip(&[("m/data.pkl", &outside)])).contains("\"m/data/../../Cargo.toml\""));
}

#[test]
fn every_truncation_is_an_error() {
    for name in FILES {
        let file = bytes(name);
        for length in 0..file.len() {
            assert!(parse(&file[..length]).is_err(), "the first {length} bytes of {name}");
        }
    }
}

#[test]
fn no_mutation_panics_or_grows() {
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for name in FILES {
        let original = bytes(name);
        let mut refused = 0;
        for _ in 0..10_000 {
            let mut file = original.clone();
            for _ in 0..=random(4) {
                let at = random(file.len());
                file[at] ^= 1 << random(8);
            }
            match parse(&file) {
                Ok(tensors) => {
                    let total: usize = tensors.values().map(|tensor| tensor.data.len()).sum();
                    assert!(total <= MAX_GROWTH * file.len());
                }
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 1_000, "{name}: only {refused} were refused");
    }
}
