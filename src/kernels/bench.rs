//! Cases that `benches/kernels.rs` times: kernels on the shapes of real models, with pseudo-random numbers.

use super::Isa;
use super::activation::Apply;
use super::attention::{AttentionScratch, Heads, PositionScores, Span, Window, attention};
use super::buffer::Buffer;
use super::int8::QuantizedRows;
use super::matmul::Epilogue;
use super::norm::{self, Center, NormParameters};
use super::rows::{Rows, RowsMut};
use super::testing::noise;
use super::weight::{PackedWeight, ProductInput, ProductScratch, WeightForm};
use crate::config::Activation;

/// A kernel with its input.
pub struct Case {
    /// Kernel and shape.
    pub name: String,
    /// Useful operations of a run, for products: a multiply-add is two.
    pub flops: Option<f64>,
    /// Number of outputs.
    pub numbers: usize,
    /// Largest difference to plain code, relative to the larger of 1 and the number.
    pub tolerance: f32,
    run: Run,
}

/// Overwrites all of its argument.
type Run = Box<dyn FnMut(&mut [f32])>;

impl Case {
    /// Runs the kernel once; `out` has [`Case::numbers`] items.
    pub fn run(&mut self, out: &mut [f32]) {
        (self.run)(out);
    }
}

/// Returns all cases for an instruction set, or none where this machine lacks it.
pub fn cases(instruction_set: &str) -> Vec<Case> {
    let Some(isa) = Isa::available().into_iter().find(|isa| isa.name() == instruction_set) else {
        return Vec::new();
    };
    let mut cases = Vec::new();
    // Linear layers of all-MiniLM-L6-v2 and all-mpnet-base-v2: queries, keys and values; attention's output; up; down. The
    // rows are those of one query, of a block of the feed-forward, and of a micro-batch.
    for hidden in [384, 768] {
        for rows in [12, 64, 256, 512] {
            for (inner, columns, activation) in [
                (hidden, 3 * hidden, Activation::Identity),
                (hidden, hidden, Activation::Identity),
                (hidden, 4 * hidden, Activation::Gelu),
                (4 * hidden, hidden, Activation::Identity),
            ] {
                for form in [WeightForm::F32, WeightForm::BFloat16, WeightForm::Int8] {
                    cases.push(product(isa, form, rows, inner, columns, activation));
                }
            }
        }
    }
    for width in [32, 64] {
        for tokens in [8, 16, 40, 128, 256, 512] {
            cases.push(attend(isa, 512 / tokens, tokens, 12, width));
        }
    }
    cases.push(layer_norm(isa, 512, 384));
    for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Silu] {
        cases.push(activate(isa, activation, 64 * 1536));
    }
    cases
}

/// Gap between rows, as the ops leave it.
const GAP: usize = 16;

fn product(isa: Isa, form: WeightForm, rows: usize, inner: usize, columns: usize, activation: Activation) -> Case {
    let a = noise(rows * (inner + GAP), 1);
    // Scaled like trained weights, so that sums stay near 1.
    let w: Vec<f32> = noise(columns * inner, 2).into_iter().map(|w| w / (inner as f32).sqrt()).collect();
    let bias = noise(columns, 3);
    let Ok(weight) = PackedWeight::pack(isa, form, &[Rows::packed(&w, inner)], None) else {
        unreachable!("a weight of {columns} x {inner} fits into memory")
    };
    let (mut scratch, mut codes) = (ProductScratch::default(), QuantizedRows::default());
    let run = move |out: &mut [f32]| {
        let a = Rows::new(&a, rows, inner, inner + GAP);
        let a = match &weight {
            PackedWeight::Int8(weight) => {
                codes.resize(rows, inner);
                codes.parts(rows).for_each(|part| weight.quantize_inputs(isa, a, part));
                ProductInput::Int8(&codes)
            }
            _ => ProductInput::F32(a),
        };
        let epilogue = Epilogue { bias: &bias, activation, residual: None };
        let out = RowsMut::packed(out, columns);
        weight.product(isa, a, 0..weight.panels(), epilogue, &mut scratch, out);
    };
    let then = if activation == Activation::Identity { "" } else { ", then gelu" };
    Case {
        name: format!("product {rows} x {inner} x {columns}{then}, {form:?}"),
        // By AVX2, weights of int8 have other steps.
        tolerance: if form == WeightForm::Int8 { 3e-2 } else { 2e-5 },
        flops: Some(2.0 * (rows * inner * columns) as f64),
        numbers: rows * columns,
        run: Box::new(run),
    }
}

fn attend(isa: Isa, texts: usize, tokens: usize, heads: usize, width: usize) -> Case {
    let (rows, hidden) = (texts * tokens, heads * width);
    let mut qkv = Buffer::default();
    qkv.resize(rows * (3 * hidden + GAP));
    qkv.copy_from_slice(&noise(rows * (3 * hidden + GAP), 4));
    let spans: Vec<_> = (0..texts).map(|i| i * tokens..(i + 1) * tokens).collect();
    let spans: Vec<_> = spans.into_iter().map(|text| Span { queries: text.clone(), keys: text, position: 0 }).collect();
    let mut scratch = AttentionScratch::new(isa);
    let run = move |out: &mut [f32]| {
        let qkv = Rows::new(&qkv, rows, 3 * hidden, 3 * hidden + GAP);
        let qkv = [0, 1, 2].map(|i| qkv.columns(i * hidden..(i + 1) * hidden));
        let scale = 1.0 / (width as f32).sqrt();
        let (window, positions) = (Window::ALL, PositionScores::None);
        let shape = Heads { width, sharing: 1, scale, window, softcap: None, positions };
        let out = RowsMut::packed(out, hidden);
        attention(isa, qkv, &spans, shape, 0..heads, &mut scratch, out).unwrap_or_else(|error| unreachable!("{error}"));
    };
    Case {
        name: format!("attention, {texts} x {tokens} tokens, {heads} heads of {width}"),
        flops: Some(4.0 * (rows * tokens * hidden) as f64),
        tolerance: 2e-5,
        numbers: rows * hidden,
        run: Box::new(run),
    }
}

fn layer_norm(isa: Isa, rows: usize, width: usize) -> Case {
    let (x, weight, bias) = (noise(rows * width, 5), noise(width, 6), noise(width, 7));
    let run = move |out: &mut [f32]| {
        out.copy_from_slice(&x);
        let parameters = NormParameters { center: Center::Mean, weight: &weight, bias: &bias, eps: 1e-12 };
        norm::norm(isa, RowsMut::packed(out, width), parameters);
    };
    Case {
        name: format!("layer norm {rows} x {width}"),
        flops: None,
        tolerance: 2e-5,
        numbers: rows * width,
        run: Box::new(run),
    }
}

fn activate(isa: Isa, activation: Activation, numbers: usize) -> Case {
    let x: Vec<f32> = noise(numbers, 8).into_iter().map(|x| 4.0 * x).collect();
    let run = move |out: &mut [f32]| {
        out.copy_from_slice(&x);
        isa.run(Apply(activation, RowsMut::packed(out, numbers)));
    };
    Case { name: format!("{activation:?} of {numbers}"), flops: None, tolerance: 2e-5, numbers, run: Box::new(run) }
}
