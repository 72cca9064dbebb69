//! Place of a linear layer in its model, which doesn't depend on the order in which threads load layers.

use std::cell::RefCell;

use super::intra_op::parallel_map;
use crate::error::Result;

/// Place of a linear layer: its number among those that are loaded one after the other, behind the numbers of what it is in.
pub(crate) type Place = Vec<usize>;

thread_local! {
    /// Place of what this thread loads, and the number of its next layer.
    static CURRENT: RefCell<(Place, usize)> = RefCell::default();
}

/// Returns the next place on this thread.
pub(crate) fn next() -> Place {
    CURRENT.with_borrow_mut(|(place, next)| {
        let mut place = place.clone();
        place.push(*next);
        *next += 1;
        place
    })
}

/// Runs `load`, whose layers are in the `place`.
pub(crate) fn within<T>(place: Place, load: impl FnOnce() -> T) -> T {
    let _restored = Restored(CURRENT.replace((place, 0)));
    load()
}

/// Loads the parts of a model by their numbers, like [`parallel_map`], with places for the layers of each.
///
/// # Errors
/// The error of the first part that has one.
pub(crate) fn load_parts<T: Send>(count: usize, load: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    let parts = next();
    parallel_map(count, |i| within(part(&parts, i), || load(i)))
}

fn part(place: &[usize], number: usize) -> Place {
    place.iter().copied().chain([number]).collect()
}

/// Place to which the thread returns, even after a panic.
struct Restored((Place, usize));

impl Drop for Restored {
    fn drop(&mut self) {
        CURRENT.set(std::mem::take(&mut self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_don_t_depend_on_the_order_of_parts() {
        let load = |order: [usize; 2]| {
            within(vec![7], || {
                let before = next();
                let parts = next();
                let mut inside = order.map(|i| within(part(&parts, i), || [next(), next()]));
                inside.sort();
                (before, inside, next())
            })
        };
        let expected = [[vec![7, 1, 0, 0], vec![7, 1, 0, 1]], [vec![7, 1, 1, 0], vec![7, 1, 1, 1]]];
        for order in [[0, 1], [1, 0]] {
            assert_eq!(load(order), (vec![7, 0], expected.clone(), vec![7, 2]));
        }
    }
}
