//! Relative position biases on attention scores, in buckets of distances, of T5 (Raffel et al., 2020) and MPNet.

use crate::config::JsonFile;
use crate::error::Result;
use crate::weights::Array;

/// Maximum of a config's greatest distance. Published models have 128.
const MAX_DISTANCE: usize = 1 << 20;
/// Maximum number of biases over all heads and distances: 64 MiB. Published models have less than a million.
const MAX_BIASES: usize = 1 << 24;

/// Buckets of distances. Half of them are for keys after the query. In each half, near distances have a bucket each; far
/// ones share buckets that grow in logarithmic steps, up to a greatest distance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buckets {
    pub(crate) count: usize,
    max_distance: usize,
}

impl Buckets {
    /// Takes the number of buckets and the greatest distance, each with its key for messages.
    pub(crate) fn new(file: &JsonFile, (key, count): (&str, usize), distance: (&str, usize)) -> Result<Self> {
        if count < 4 {
            return Err(file.error(key, format!("must be at least 4, got {count}")));
        }
        let (key, max_distance) = distance;
        if max_distance <= count / 4 || max_distance > MAX_DISTANCE {
            let problem = format!("must be from {} to {MAX_DISTANCE}, got {max_distance}", count / 4 + 1);
            return Err(file.error(key, problem));
        }
        Ok(Self { count, max_distance })
    }

    /// Returns the text length beyond which all further distances share a bucket.
    pub(crate) fn longest(self) -> usize {
        self.max_distance + 1
    }

    /// Spreads biases by bucket, `(buckets, heads)`, over all distances: `(heads, 2 * longest - 1)`. The bias from query `q`
    /// to key `k` is in column `k - q + longest - 1`. `key` is that of `longest`, for messages.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for more than [`MAX_BIASES`].
    pub(crate) fn by_distance(self, file: &JsonFile, key: &str, by_bucket: &Array, longest: usize) -> Result<Array> {
        let (heads, numbers) = (by_bucket.shape[1], by_bucket.as_slice());
        if longest.saturating_mul(2 * heads) > MAX_BIASES {
            let limit = MAX_BIASES / (2 * heads);
            return Err(file.error(key, format!("must be at most {limit} with {heads} heads, got {}", longest - 1)));
        }
        let buckets: Vec<usize> = (1 - longest as i64..longest as i64).map(|distance| self.bucket(distance)).collect();
        let of_head = |head: usize| buckets.iter().map(move |bucket| numbers[bucket * heads + head]);
        Ok(Array::new(vec![heads, buckets.len()], (0..heads).flat_map(of_head).collect()))
    }

    /// Returns the bucket of a distance `key - query`.
    fn bucket(self, distance: i64) -> usize {
        let half = self.count / 2;
        let side = if distance > 0 { half } else { 0 };
        let distance = distance.unsigned_abs() as usize;
        let near = half / 2;
        if distance < near {
            return side + distance;
        }
        // Computed in float32 and in the reference's order, because the result is rounded down.
        let ratio = (distance as f32 / near as f32).ln() / (self.max_distance as f32 / near as f32).ln();
        let far = near + (ratio * (half - near) as f32) as usize;
        side + far.min(half - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_limited() {
        let file = JsonFile { path: "config.json".into(), value: serde_json::Value::Null };
        let buckets = Buckets { count: 4, max_distance: MAX_DISTANCE };
        let table = |heads| {
            let by_bucket = Array::new(vec![4, heads], vec![0.0; 4 * heads]);
            buckets.by_distance(&file, "max", &by_bucket, buckets.longest()).map(|table| table.shape)
        };
        assert_eq!(table(2).unwrap(), [2, 2 * MAX_DISTANCE + 1]);
        let error = table(1000).unwrap_err().to_string();
        assert_eq!(error, format!("config.json: max: must be at most 8388 with 1000 heads, got {MAX_DISTANCE}"));
    }

    #[test]
    fn distances_fall_into_the_papers_buckets() {
        let buckets = Buckets { count: 32, max_distance: 128 };
        let of = |distances: &[i64]| distances.iter().map(|d| buckets.bucket(*d)).collect::<Vec<_>>();
        assert_eq!(of(&[0, -1, -7, -8, -11, -12, -16, -127, -128, -500]), [0, 1, 7, 8, 8, 9, 10, 15, 15, 15]);
        assert_eq!(of(&[1, 7, 8, 500]), [17, 23, 24, 31]);
    }
}
