//! Activations, element by element.

use pulp::Simd;

use super::gelu::Gelu;
use crate::config::Activation;

/// A function of each number, computed on several vectors at once: one vector's chain of dependent operations leaves
/// the processor idle.
///
/// A trait, not a closure: what a closure calls is not always inlined, and then runs without the instruction set.
pub(crate) trait Elementwise: Copy {
    fn apply<S: Simd, const N: usize>(self, simd: S, x: &mut [S::f32s; N]);
}

#[derive(Clone, Copy)]
struct Relu;

impl Elementwise for Relu {
    #[inline(always)]
    fn apply<S: Simd, const N: usize>(self, simd: S, x: &mut [S::f32s; N]) {
        for x in x {
            *x = simd.max_f32s(*x, simd.splat_f32s(0.0));
        }
    }
}

/// Applies the activation to every number of the vectors, in place.
#[inline(always)]
pub(crate) fn apply<S: Simd, const N: usize>(simd: S, activation: Activation, x: &mut [S::f32s; N]) {
    match activation {
        Activation::Identity => {}
        Activation::Gelu => Gelu.apply(simd, x),
        Activation::Relu => Relu.apply(simd, x),
        Activation::GeluTanh => each::<S, N>(x, |x| {
            let inner = (2.0 / std::f32::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
            0.5 * x * (1.0 + inner.tanh())
        }),
        Activation::Silu => each::<S, N>(x, |x| x * sigmoid(x)),
        Activation::Tanh => each::<S, N>(x, f32::tanh),
        Activation::Sigmoid => each::<S, N>(x, sigmoid),
    }
}

/// Number by number, for what is rare.
fn each<S: Simd, const N: usize>(x: &mut [S::f32s; N], f: fn(f32) -> f32) {
    bytemuck::cast_slice_mut::<S::f32s, f32>(x).iter_mut().for_each(|x| *x = f(*x));
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use pulp::WithSimd;

    use super::*;
    use crate::kernels::Isa;

    struct Apply<'a>(Activation, &'a mut [f32]);
    impl WithSimd for Apply<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let (vectors, tail) = S::as_mut_simd_f32s(self.1);
            let (chunks, rest) = vectors.as_chunks_mut::<3>();
            chunks.iter_mut().for_each(|x| apply(simd, self.0, x));
            rest.as_chunks_mut::<1>().0.iter_mut().for_each(|x| apply(simd, self.0, x));
            let mut last = [simd.partial_load_f32s(tail)];
            apply(simd, self.0, &mut last);
            simd.partial_store_f32s(tail, last[0]);
        }
    }

    fn activate(isa: Isa, activation: Activation, x: &mut [f32]) {
        isa.run(Apply(activation, x));
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
            Activation::Tanh => x.tanh(),
            Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        }
    }

    #[test]
    fn every_activation_is_within_its_error_on_every_instruction_set() {
        let inputs: Vec<f32> = (-24_000..=24_000).map(|i| i as f32 / 2000.0).chain([0.0, -0.0, 1e-40, 50.0]).collect();
        for isa in Isa::available() {
            for activation in Activation::ALL {
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
    fn gelu_goes_to_its_limits_and_keeps_not_a_number() {
        for isa in Isa::available() {
            let mut x = vec![1e30, -1e30, f32::INFINITY, 100.0, -100.0];
            activate(isa, Activation::Gelu, &mut x);
            assert_eq!(x, [1e30, 0.0, f32::INFINITY, 100.0, 0.0], "{}", isa.name());
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
