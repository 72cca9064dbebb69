//! Activation functions, element by element.

use pulp::{Simd, WithSimd};

use super::Isa;
use super::exp::{LOG2_E, at_least, at_most, exp2};
use super::gelu::{GELU, GELU_FOR_INT8};
use super::matmul::{load, store};
use super::rows::RowsMut;
use crate::config::Activation;

/// Function of each number, computed on several vectors at once: the dependent operations of one vector would leave the
/// processor idle.
///
/// A trait and not a closure: calls inside closures are not always inlined, and then run without the instruction set.
pub(crate) trait Elementwise: Copy {
    /// Applies the function in place.
    fn apply<S: Simd, const N: usize>(self, simd: S, x: &mut [S::f32s; N]);
}

/// Number of vectors computed at once.
const UNROLL: usize = 6;

/// Applies a function to every number of some rows.
///
/// The rest of a row joins that of the next rows: the columns of a panel are too few by themselves.
#[inline(always)]
fn each<S: Simd>(simd: S, function: impl Elementwise, mut x: RowsMut<'_>) {
    let whole = x.width() - x.width() % (UNROLL * S::F32_LANES);
    for i in 0..x.count() {
        for vectors in S::as_mut_simd_f32s(&mut x.row(i)[..whole]).0.as_chunks_mut().0 {
            function.apply::<S, UNROLL>(simd, vectors);
        }
    }
    let vectors = (x.width() - whole).div_ceil(S::F32_LANES);
    let Some(rows) = UNROLL.checked_div(vectors) else { return };
    for first in (0..x.count()).step_by(rows) {
        let together = first..x.count().min(first + rows);
        let mut rests = [simd.splat_f32s(0.0); UNROLL];
        for (i, rest) in together.clone().zip(rests.chunks_mut(vectors)) {
            for (vector, numbers) in rest.iter_mut().zip(x.row(i)[whole..].chunks(S::F32_LANES)) {
                [*vector] = load(simd, numbers);
            }
        }
        function.apply(simd, &mut rests);
        for (i, rest) in together.zip(rests.chunks(vectors)) {
            for (vector, numbers) in rest.iter().zip(x.row(i)[whole..].chunks_mut(S::F32_LANES)) {
                store(simd, [*vector], numbers);
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Relu;

impl Elementwise for Relu {
    #[inline(always)]
    fn apply<S: Simd, const N: usize>(self, simd: S, x: &mut [S::f32s; N]) {
        for x in x {
            *x = at_least(simd, 0.0, *x);
        }
    }
}

/// Functions made of the sigmoid, σ(x) = 1 / (1 + e^-x).
#[derive(Clone, Copy)]
enum Logistic {
    /// σ(x)
    Sigmoid,
    /// 2 σ(2x) - 1
    Tanh,
    /// x σ(x)
    Silu,
    /// x σ(1.702 x)
    QuickGelu,
    /// x σ(2 √(2/π) (x + 0.044715 x³)), as 1 + tanh y = 2 σ(2y)
    GeluTanh,
}

impl Elementwise for Logistic {
    #[inline(always)]
    fn apply<S: Simd, const N: usize>(self, simd: S, x: &mut [S::f32s; N]) {
        let (one, two) = (simd.splat_f32s(1.0), simd.splat_f32s(2.0));
        let mut inner = *x;
        for (inner, x) in inner.iter_mut().zip(*x) {
            *inner = match self {
                Self::Sigmoid | Self::Silu => x,
                Self::Tanh => simd.mul_f32s(two, x),
                Self::QuickGelu => simd.mul_f32s(simd.splat_f32s(1.702), x),
                Self::GeluTanh => {
                    let slope = 2.0 * (2.0 / std::f32::consts::PI).sqrt();
                    let cubic = simd.mul_f32s(simd.splat_f32s(slope * 0.044_715), simd.mul_f32s(x, x));
                    simd.mul_f32s(x, simd.add_f32s(simd.splat_f32s(slope), cubic))
                }
            };
            // e^-x would overflow beyond 126, where σ is below 1.2e-38.
            *inner = simd.mul_f32s(simd.splat_f32s(-LOG2_E), *inner);
            *inner = at_most(simd, 126.0, *inner);
        }
        for (x, power) in x.iter_mut().zip(exp2(simd, inner)) {
            let sigmoid = simd.div_f32s(one, simd.add_f32s(one, power));
            *x = match self {
                Self::Sigmoid => sigmoid,
                Self::Tanh => simd.sub_f32s(simd.mul_f32s(two, sigmoid), one),
                Self::Silu | Self::QuickGelu | Self::GeluTanh => simd.mul_f32s(*x, sigmoid),
            };
        }
    }
}

/// Applies the activation to every number.
#[inline(always)]
pub(crate) fn apply<S: Simd>(simd: S, activation: Activation, mut x: RowsMut<'_>) {
    match activation {
        Activation::Identity => {}
        Activation::Gelu => each(simd, GELU, x),
        Activation::Relu => each(simd, Relu, x),
        Activation::GeluTanh => each(simd, Logistic::GeluTanh, x),
        Activation::QuickGelu => each(simd, Logistic::QuickGelu, x),
        Activation::Silu => each(simd, Logistic::Silu, x),
        Activation::Tanh => each(simd, Logistic::Tanh, x),
        Activation::Sigmoid => each(simd, Logistic::Sigmoid, x),
        rare => (0..x.count()).for_each(|i| one_by_one(rare, x.row(i))),
    }
}

/// Applies an activation that is too rare for a kernel of its own.
#[cold]
#[inline(never)]
fn one_by_one(activation: Activation, row: &mut [f32]) {
    row.iter_mut().for_each(|x| *x = activation.of(f64::from(*x)) as f32);
}

/// Computes `x = activation(x) * gate`, element by element (Shazeer, 2020).
pub(crate) fn gate(isa: Isa, activation: Activation, x: RowsMut<'_>, gate: RowsMut<'_>) {
    assert!(x.count() == gate.count() && x.width() == gate.width());
    isa.run(Gated { activation, x, gate });
}

struct Gated<'a> {
    activation: Activation,
    x: RowsMut<'a>,
    gate: RowsMut<'a>,
}

impl WithSimd for Gated<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { activation, mut x, mut gate } = self;
        for i in 0..x.count() {
            // One row at a time, so that the second pass finds it in the first-level cache.
            apply(simd, activation, x.range(i..i + 1));
            let (vectors, tail) = S::as_mut_simd_f32s(x.row(i));
            let (gates, last) = S::as_simd_f32s(gate.row(i));
            for (x, gate) in vectors.iter_mut().zip(gates) {
                *x = simd.mul_f32s(*x, *gate);
            }
            let product = simd.mul_f32s(simd.partial_load_f32s(tail), simd.partial_load_f32s(last));
            simd.partial_store_f32s(tail, product);
        }
    }
}

/// [`apply`] for kernels that leave the instruction set to [`Isa::run`].
#[cfg(any(test, feature = "bench"))]
pub(crate) struct Apply<'a>(pub(crate) Activation, pub(crate) RowsMut<'a>);

#[cfg(any(test, feature = "bench"))]
impl WithSimd for Apply<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        apply(simd, self.0, self.1);
    }
}

/// Applies the activation after a product of int8, whose error is larger than that of a shorter polynomial.
pub(crate) struct ApplyForInt8<'a>(pub(crate) Activation, pub(crate) RowsMut<'a>);

impl WithSimd for ApplyForInt8<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.0 {
            Activation::Gelu => each(simd, GELU_FOR_INT8, self.1),
            other => apply(simd, other, self.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{largest_difference, noise};

    fn activate(isa: Isa, activation: Activation, x: &mut [f32]) {
        let width = x.len();
        isa.run(Apply(activation, RowsMut::packed(x, width)));
    }

    #[test]
    fn numbers_have_the_same_bits_in_rows_of_any_number_and_width() {
        for (isa, activation) in
            Isa::available().into_iter().flat_map(|isa| [(isa, Activation::Gelu), (isa, Activation::Silu)])
        {
            for (width, count) in (1..=4 * isa.lanes()).flat_map(|width| (0..9).map(move |count| (width, count))) {
                let stride = width + 5;
                let x: Vec<f32> = noise(count * stride, 1).iter().map(|x| 3.0 * x).collect();
                let (mut together, mut alone) = (x.clone(), x);
                isa.run(Apply(activation, RowsMut::new(&mut together, count, width, stride)));
                for row in alone.chunks_mut(stride) {
                    activate(isa, activation, &mut row[..width]);
                }
                assert!(together == alone, "{} {activation:?} {count} x {width}", isa.name());
            }
        }
    }

    #[test]
    fn nan_stays_nan() {
        let all = [
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::Relu,
            Activation::Silu,
            Activation::Tanh,
            Activation::QuickGelu,
        ];
        for isa in Isa::available() {
            for activation in all.into_iter().chain([Activation::Sigmoid, Activation::Identity]) {
                for length in 1..40 {
                    let mut x = vec![f32::NAN; length];
                    activate(isa, activation, &mut x);
                    assert!(x.iter().all(|x| x.is_nan()), "{} {activation:?} {length}: {x:?}", isa.name());
                }
            }
        }
    }

    fn truth(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::Identity => x,
            Activation::Gelu => 0.5 * x * libm::erfc(-x / 2f64.sqrt()),
            Activation::GeluTanh => {
                0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
            }
            Activation::Relu => x.max(0.0),
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
            Activation::Tanh => x.tanh(),
            Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            // `Activation::of` has a test of its own.
            rare => rare.of(x),
        }
    }

    #[test]
    fn every_activation_is_within_its_error_on_every_instruction_set() {
        let inputs: Vec<f32> = (-24_000..=24_000).map(|i| i as f32 / 2000.0).chain([0.0, -0.0, 1e-40, 50.0]).collect();
        for isa in Isa::available() {
            for activation in Activation::all() {
                let mut x = inputs.clone();
                activate(isa, activation, &mut x);
                for (got, x) in x.iter().zip(&inputs) {
                    let want = truth(activation, f64::from(*x));
                    let error = (f64::from(*got) - want).abs();
                    assert!(error <= 1e-6 * want.abs().max(1.0), "{} {activation:?}({x}) = {got}", isa.name());
                }
            }
        }
    }

    #[test]
    fn gelu_for_int8_is_within_its_error_and_keeps_nan() {
        let inputs: Vec<f32> = (-24_000..=24_000).map(|i| i as f32 / 2000.0).collect();
        for isa in Isa::available() {
            let mut x = inputs.clone();
            let width = x.len();
            isa.run(ApplyForInt8(Activation::Gelu, RowsMut::packed(&mut x, width)));
            for (got, x) in x.iter().zip(&inputs) {
                let error = (f64::from(*got) - truth(Activation::Gelu, f64::from(*x))).abs();
                assert!(error <= 4.2e-5 * f64::from(x.abs().max(4.0)), "{}: {x} {error}", isa.name());
            }
            let mut x = [f32::NAN; 5];
            isa.run(ApplyForInt8(Activation::Gelu, RowsMut::packed(&mut x, 5)));
            assert!(x.iter().all(|x| x.is_nan()));
        }
    }

    #[test]
    fn gates_multiply_activated_numbers() {
        for isa in Isa::available() {
            for (activation, width) in Activation::all().flat_map(|a| [1, 7, 16, 33, 100].map(|w| (a, w))) {
                // Halves of the same rows.
                let mut wide = noise(3 * 2 * width, 5);
                let truth: Vec<f64> = wide
                    .chunks(2 * width)
                    .flat_map(|row| (0..width).map(|i| (f64::from(row[i]), f64::from(row[width + i]))))
                    .map(|(x, gate)| truth(activation, x) * gate)
                    .collect();
                let (x, gates) = RowsMut::packed(&mut wide, 2 * width).split_columns(width);
                gate(isa, activation, x, gates);
                let got: Vec<f32> = wide.chunks(2 * width).flat_map(|row| row[..width].to_vec()).collect();
                assert!(largest_difference(&got, &truth) < 1e-6, "{} {activation:?} {width}", isa.name());
            }
        }
    }

    #[test]
    fn gelu_reaches_its_limits_and_keeps_nan() {
        for isa in Isa::available() {
            let mut x = vec![1e30, -1e30, f32::INFINITY, 100.0, -100.0];
            activate(isa, Activation::Gelu, &mut x);
            assert_eq!([x[0], x[2], x[3]], [1e30, f32::INFINITY, 100.0], "{}", isa.name());
            assert!(x[1].abs() < 4e-7 && x[4].abs() < 4e-7, "{}: {x:?}", isa.name());
            let mut x = vec![f32::NAN; 17];
            activate(isa, Activation::Gelu, &mut x);
            assert!(x.iter().all(|x| x.is_nan()));
        }
    }

    #[test]
    fn all_lengths_leave_the_rest_alone() {
        for isa in Isa::available() {
            for length in 0..=130 {
                let mut x = vec![-1.0; 140];
                activate(isa, Activation::Relu, &mut x[3..3 + length]);
                assert!(x[3..3 + length].iter().all(|x| *x == 0.0));
                assert!(x[..3].iter().chain(&x[3 + length..]).all(|x| *x == -1.0));
            }
        }
    }
}
