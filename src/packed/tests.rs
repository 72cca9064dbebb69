use std::path::Path;

use super::*;
use crate::error::Error;
use crate::kernels::Isa;
use crate::kernels::int8::InputStatistics;
use crate::kernels::rows::Rows;
use crate::kernels::testing::noise;
use crate::kernels::weight::{PackedWeight, WeightForm};

const FORMS: [WeightForm; 3] = [WeightForm::F32, WeightForm::BFloat16, WeightForm::Int8];
const INPUTS: usize = 37;

/// Packs two matrices side by side, with odd sizes.
fn packed(isa: Isa, form: WeightForm, seen: bool) -> (PackedWeight, [usize; 2]) {
    let weights = [noise(50 * INPUTS, 1), noise(33 * INPUTS, 2)];
    let rows = weights.each_ref().map(|weight| Rows::packed(weight, INPUTS));
    let inputs = noise(5 * INPUTS, 3);
    let seen = seen.then(|| InputStatistics::of(Rows::packed(&inputs, INPUTS)));
    (PackedWeight::pack(isa, form, &rows, seen.as_ref()).unwrap(), [INPUTS, 83])
}

fn slot(folder: &Path, model: &str, state: &str) -> Slot {
    Slot::new(folder, model, state).unwrap()
}

fn write(slot: &Slot, weights: &[(PackedWeight, [usize; 2])]) -> PackedFile {
    let lock = slot.lock().unwrap();
    slot.write(&lock, |writer| {
        for (i, (weight, size)) in weights.iter().enumerate() {
            writer.push(vec![i], weight, i as u64, *size).unwrap();
        }
        Ok(())
    })
    .unwrap()
}

#[test]
fn files_give_back_what_was_packed_and_nothing_else() {
    for isa in Isa::available() {
        let folder = tempfile::tempdir().unwrap();
        let weights = FORMS.map(|form| packed(isa, form, true));
        let file = write(&slot(folder.path(), "model", "state"), &weights);
        assert_eq!(file.len(), FORMS.len());
        for (i, (form, (weight, size))) in FORMS.into_iter().zip(&weights).enumerate() {
            let mapped = file.weight(&[i], isa, form, i as u64, *size).unwrap();
            assert_eq!(mapped.form(), form);
            let bytes = |weight: &PackedWeight| weight.parts().concat().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert!(bytes(&mapped) == bytes(weight), "{} {form:?}", isa.name());
            assert!(mapped.parts()[0].as_ptr().addr().is_multiple_of(LINE));
            assert!(file.weight(&[i], isa, form, 9, *size).is_none(), "another source");
            assert!(file.weight(&[i], isa, form, i as u64, [size[1], size[0]]).is_none(), "another size");
            assert!(file.weight(&[i], isa, FORMS[(i + 1) % 3], i as u64, *size).is_none(), "another form");
        }
        assert!(file.weight(&[3], isa, FORMS[0], 0, weights[0].1).is_none());
    }
}

#[test]
fn a_slot_takes_only_files_of_its_state_and_keeps_one() {
    let folder = tempfile::tempdir().unwrap();
    let weights = [packed(Isa::Scalar, WeightForm::F32, false)];
    let [one, other, elsewhere] =
        [("model", "1"), ("model", "2"), ("another", "1")].map(|(model, state)| slot(folder.path(), model, state));
    write(&one, &weights);
    write(&elsewhere, &weights);
    assert!(one.open().unwrap().is_some() && other.open().unwrap().is_none());
    // Whoever renames a file doesn't make it another's.
    std::fs::copy(one.path(), other.path()).unwrap();
    assert!(other.open().unwrap().is_none());
    write(&other, &weights);
    assert!(one.open().unwrap().is_none(), "the file of the old state is removed");
    assert!(other.open().unwrap().is_some() && elsewhere.open().unwrap().is_some());
}

#[test]
fn a_write_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let slot = slot(folder.path(), "model", "state");
    let lock = slot.lock().unwrap();
    let failed = slot.write(&lock, |_| Err(Error::Interrupted));
    assert!(matches!(failed.map(|_| ()), Err(Error::Interrupted)));
    assert!(slot.open().unwrap().is_none());
    drop(lock);
    let names = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().path());
    assert!(names.into_iter().all(|path| path.extension().is_some_and(|extension| extension == "lock")));
}

/// Checksums of what [`FORMAT`] packs, by instruction set and form.
const PACKED: [(&str, [u64; 3]); 3] = [
    ("scalar", [3_094_036_721_437_879_884, 8_447_565_037_821_371_783, 8_653_760_937_020_191_158]),
    ("sse4.2", [3_953_782_992_054_832_497, 16_417_186_958_058_133_521, 8_653_760_937_020_191_158]),
    ("avx2", [8_184_761_739_163_185_057, 8_043_752_146_428_214_172, 1_545_667_910_263_490_707]),
];

#[test]
fn what_is_packed_is_that_of_the_format() {
    let sums = |isa| {
        FORMS.map(|form| {
            let mut checksum = Checksum::default();
            packed(isa, form, false).0.parts().iter().for_each(|part| checksum.add(bytemuck::cast_slice(part)));
            checksum.value()
        })
    };
    let pinned = |isa: &Isa| PACKED.iter().find(|(name, _)| *name == isa.name()).map(|(name, sums)| (*name, *sums));
    let (now, then): (Vec<_>, Vec<_>) =
        Isa::available().iter().filter_map(|isa| Some(((isa.name(), sums(*isa)), pinned(isa)?))).unzip();
    assert_eq!(now, then, "files of format {FORMAT} hold other numbers: raise it");
}
