//! Serialization of matrices and embeddings, which checks what it reads.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::embeddings::{Embeddings, Truncated};
use super::similarity::Matrix;
use super::sparse::SparseEmbeddings;

#[derive(Serialize, Deserialize)]
#[serde(rename = "Matrix")]
struct MatrixFields<D> {
    rows: usize,
    columns: usize,
    data: D,
}

impl Serialize for Matrix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        MatrixFields { rows: self.rows(), columns: self.columns(), data: self.as_slice() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Matrix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let MatrixFields { rows, columns, data } = Deserialize::deserialize(deserializer)?;
        Self::new(rows, columns, data).map_err(de::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Embeddings")]
struct EmbeddingsFields<D> {
    len: usize,
    dim: usize,
    data: D,
    truncated: Truncated,
}

impl Serialize for Embeddings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (len, dim, data) = (self.len(), self.dim(), self.as_slice());
        EmbeddingsFields { len, dim, data, truncated: self.truncated() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Embeddings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let EmbeddingsFields { len, dim, data, truncated } = Deserialize::deserialize(deserializer)?;
        let matrix = Matrix::new(len, dim, data).map_err(de::Error::custom)?;
        Ok(Self::new(matrix.into_vec(), len, dim, truncated))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "SparseEmbeddings")]
struct SparseFields<P, I, V> {
    indptr: P,
    indices: I,
    values: V,
    dim: usize,
    truncated: Truncated,
}

impl Serialize for SparseEmbeddings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (indptr, indices, values) = self.parts();
        SparseFields { indptr, indices, values, dim: self.dim(), truncated: self.truncated() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SparseEmbeddings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let SparseFields { indptr, indices, values, dim, truncated } = Deserialize::deserialize(deserializer)?;
        let embeddings = Self::new(indptr, indices, values, dim).map_err(de::Error::custom)?;
        Ok(embeddings.with_truncated(truncated))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::vectors::Hit;
    use crate::{Precision, Similarity};

    fn comes_back<T: Serialize + de::DeserializeOwned + PartialEq + Debug>(value: T) {
        let text = serde_json::to_string(&value).unwrap();
        assert_eq!(serde_json::from_str::<T>(&text).unwrap(), value, "{text}");
    }

    #[test]
    fn values_survive_a_round_trip() {
        let truncated = Truncated { count: 1, longest: 300 };
        comes_back(Matrix::new(2, 2, vec![1.0, -2.5, 0.1, 3e-9]).unwrap());
        comes_back(Embeddings::new(vec![1.0, 2.0], 1, 2, truncated));
        let sparse = SparseEmbeddings::new(vec![0, 1, 1], vec![3], vec![0.5], 4).unwrap();
        comes_back(sparse.with_truncated(truncated));
        comes_back(Hit { corpus_id: 3, score: 0.25 });
        comes_back((Similarity::Dot, Precision::Ubinary));
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let refused = serde_json::from_str::<Matrix>(r#"{"rows": 2, "columns": 2, "data": [1.0]}"#).unwrap_err();
        assert!(refused.to_string().starts_with("data: must have 2 x 2 numbers, got 1"), "{refused}");
        let sparse = r#"{"indptr": [0, 2], "indices": [1, 1], "values": [1.0, 2.0], "dim": 4,
                         "truncated": {"count": 0, "longest": 0}}"#;
        assert!(serde_json::from_str::<SparseEmbeddings>(sparse).is_err());
        let dense = r#"{"len": 1, "dim": 3, "data": [1.0], "truncated": {"count": 0, "longest": 0}}"#;
        assert!(serde_json::from_str::<Embeddings>(dense).is_err());
    }
}
