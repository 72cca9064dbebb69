//! Weights that torch computes of other tensors when they are read: an original, and an adapter's product of low rank.

use super::{AdapterTensors, Array, Table, Weights};
use crate::alloc;
use crate::error::Result;

/// Product that an adapter adds to a tensor: `scale * left · right`.
pub(super) struct LowRank {
    /// `(rows, rank)`
    pub(super) left: Array,
    /// `(rank, columns)`
    pub(super) right: Array,
    pub(super) scale: f32,
}

impl LowRank {
    /// Returns the sums of a row's products by column, without the scale, in the order of [`merged`].
    pub(super) fn row(&self, row: usize) -> impl Fn(usize) -> f32 {
        let (rank, columns) = (self.right.shape[0], self.right.shape[1]);
        let (factors, right) = (&self.left.as_slice()[row * rank..][..rank], self.right.as_slice());
        move |column| {
            let products = factors.iter().zip(right.chunks_exact(columns)).map(|(factor, row)| factor * row[column]);
            products.fold(0.0, |sum, product| sum + product)
        }
    }
}

/// Returns the name of a part of a tensor that is stored as an original and its adapters.
fn part(owner: &str, part: &str) -> String {
    format!("{owner}.parametrizations.weight.{part}")
}

impl Weights {
    /// Returns the tensor of that name from its original and the adapter, if it is stored so.
    pub(super) fn parametrized(&self, name: &str, shape: &[usize]) -> Result<Option<Array>> {
        let Some(owner) = self.parametrized_owner(name) else { return Ok(None) };
        let original = self.stored(&part(owner, "original"), shape)?;
        let &[rows, columns] = shape else { return Ok(Some(original)) };
        let Some(adapter) = self.low_rank(owner, [rows, columns])? else { return Ok(Some(original)) };
        check_memory(name, &original)?;
        let merged = merged(&original, &adapter);
        original.forget_pages();
        Ok(Some(merged))
    }

    /// Returns the table of that name and shape.
    pub(crate) fn table(&self, name: &str, shape: [usize; 2]) -> Result<Table> {
        let full = format!("{}{name}", self.prefix);
        match self.parametrized_owner(&full) {
            None => self.array(name, &shape).map(Table::from),
            Some(owner) => {
                let name = part(owner, "original");
                let original = self.entry(&name, &shape)?.rows(&name)?;
                Ok(Table { shape, original, adapter: self.low_rank(owner, shape)? })
            }
        }
    }

    /// Returns the module of a weight that is stored as an original and its adapters.
    fn parametrized_owner<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_suffix(".weight").filter(|owner| self.entries.contains_key(&part(owner, "original")))
    }

    /// Returns the product that the adapter, if any, adds to a module's weight.
    fn low_rank(&self, owner: &str, [rows, columns]: [usize; 2]) -> Result<Option<LowRank>> {
        let Some(AdapterTensors::Stacked(adapter)) = &self.adapter else { return Ok(None) };
        let (left, right) = ([adapter.count, rows, adapter.rank], [adapter.count, adapter.rank, columns]);
        // A linear layer multiplies B by A, an embedding A by B.
        let (a, b) = (part(owner, "0.lora_A"), part(owner, "0.lora_B"));
        let embedding = self.entries.get(&a).is_some_and(|entry| entry.shape == left);
        let [first, second] = if embedding { [&a, &b] } else { [&b, &a] };
        let of_task =
            |name: &str, shape: &[usize]| -> Result<Array> { Ok(self.stored(name, shape)?.item(adapter.index)) };
        Ok(Some(LowRank { left: of_task(first, &left)?, right: of_task(second, &right)?, scale: adapter.scale }))
    }
}

/// Checks that memory suffices to merge an adapter into a tensor, to scale the sum, and to share it.
pub(super) fn check_memory(name: &str, original: &Array) -> Result<()> {
    alloc::check::<[f32; 3]>(original.as_slice().len(), name)
}

/// Computes `original + scale * left · right`.
pub(super) fn merged(original: &Array, LowRank { left, right, scale }: &LowRank) -> Array {
    /// Rows of `right` that a pass over a sum takes, so that it reads and writes the sum less often.
    const TOGETHER: usize = 8;
    let (rank, columns) = (right.shape[0], right.shape[1]);
    let mut merged = original.as_slice().to_vec();
    let mut sum = vec![0.0; columns];
    // The closure is compiled for each instruction set.
    pulp::Arch::new().dispatch(|| {
        for (row, factors) in merged.chunks_exact_mut(columns).zip(left.as_slice().chunks_exact(rank)) {
            sum.fill(0.0);
            let rights = right.as_slice().chunks(TOGETHER * columns);
            for (factors, rights) in factors.chunks(TOGETHER).zip(rights) {
                match factors.try_into() {
                    Ok(factors) => add_rows::<TOGETHER>(&mut sum, factors, rights),
                    Err(_) => {
                        let rights = rights.chunks_exact(columns);
                        factors.iter().zip(rights).for_each(|(factor, right)| add_rows(&mut sum, &[*factor], right));
                    }
                }
            }
            row.iter_mut().zip(&sum).for_each(|(x, sum)| *x += scale * sum);
        }
    });
    Array::new(original.shape.clone(), merged)
}

/// Adds `factors · rows` to a sum, `(columns)`. `rows` is `(N, columns)`.
#[inline(always)]
fn add_rows<const N: usize>(sum: &mut [f32], factors: &[f32; N], rows: &[f32]) {
    let columns = sum.len();
    let rows: [&[f32]; N] = std::array::from_fn(|i| &rows[i * columns..][..columns]);
    for (j, sum) in sum.iter_mut().enumerate() {
        *sum = factors.iter().zip(rows).fold(*sum, |sum, (factor, row)| sum + factor * row[j]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_any_rank_are_added() {
        let numbers = |count: usize, step: usize| (0..count).map(|i| (i * step % 17) as f32 / 8.0 - 1.0).collect();
        let (rows, columns, scale) = (5, 37, 0.5);
        for rank in [1, 7, 8, 9, 16, 19] {
            let original = Array::new(vec![rows, columns], numbers(rows * columns, 3));
            let left = Array::new(vec![rows, rank], numbers(rows * rank, 5));
            let right = Array::new(vec![rank, columns], numbers(rank * columns, 7));
            let adapter = LowRank { left, right, scale };
            let got = merged(&original, &adapter);
            let LowRank { left, right, .. } = &adapter;
            for (i, got) in got.as_slice().iter().enumerate() {
                let (row, column) = (i / columns, i % columns);
                let products = (0..rank).map(|k| {
                    f64::from(left.as_slice()[row * rank + k]) * f64::from(right.as_slice()[k * columns + column])
                });
                let expected = f64::from(original.as_slice()[i]) + f64::from(scale) * products.sum::<f64>();
                assert!((f64::from(*got) - expected).abs() < 1e-6, "rank {rank}, {i}: {got}, {expected}");
            }
        }
    }
}
