//! A transformer cut to its first layers: its `config.json`, and which weights it has.

use serde_json::Value;

use super::JsonFile;
use crate::error::{Error, Result};

/// Makes of a `config.json` that of the same transformer with its first layers alone.
pub(crate) fn keep_layers(config: &mut JsonFile, layers: usize) -> Result<()> {
    const KEYS: [&str; 4] = ["num_hidden_layers", "n_layers", "num_layers", "n_layer"];
    let Some(key) = KEYS.into_iter().find(|key| config.value.get(key).is_some()) else {
        return Err(config.error(KEYS[0], "is missing: it says how many layers there are"));
    };
    let all = config.value.get(key).and_then(Value::as_u64).unwrap_or_default();
    if layers == 0 || layers as u64 > all {
        return Err(Error::argument("num_hidden_layers", format!("must be from 1 to {all}, got {layers}")));
    }
    config.value[key] = layers.into();
    if let Some(Value::Array(types)) = config.value.get_mut("layer_types") {
        types.truncate(layers);
    }
    Ok(())
}

/// Returns true if a tensor's name, such as `encoder.layer.11.output.dense.weight`, has a layer index of at least
/// `layers`.
pub(crate) fn is_behind(tensor: &str, layers: usize) -> bool {
    let mut parts = tensor.split('.').skip_while(|part| !["layer", "layers", "block"].contains(part)).skip(1);
    parts.next().and_then(|index| index.parse::<usize>().ok()).is_some_and(|index| index >= layers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cut(value: Value, layers: usize) -> Result<Value> {
        let mut config = JsonFile { path: "config.json".into(), value };
        keep_layers(&mut config, layers).map(|()| config.value)
    }

    #[test]
    fn the_count_is_written_under_its_own_key() {
        for key in ["num_hidden_layers", "n_layers", "num_layers", "n_layer"] {
            assert_eq!(cut(json!({key: 3, "dim": 7}), 2).unwrap(), json!({key: 2, "dim": 7}));
        }
        let typed = json!({"num_hidden_layers": 3, "layer_types": ["a", "b", "c"]});
        assert_eq!(cut(typed, 1).unwrap(), json!({"num_hidden_layers": 1, "layer_types": ["a"]}));
    }

    #[test]
    fn invalid_layer_counts_are_refused() {
        for layers in [0, 4] {
            let error = cut(json!({"num_hidden_layers": 3}), layers).unwrap_err();
            assert!(matches!(error, Error::InvalidArgument { argument: "num_hidden_layers", .. }), "{error}");
        }
        assert!(
            matches!(cut(json!({}), 1).unwrap_err(), Error::InvalidConfig { key, .. } if key == "num_hidden_layers")
        );
    }

    #[test]
    fn tensors_are_told_apart_by_their_first_index() {
        for name in
            ["encoder.layer.2.output.dense.weight", "layers.5.mlp.Wi.weight", "encoder.block.2.layer.0.o.weight"]
        {
            assert!(is_behind(name, 2) && !is_behind(name, 6), "{name}");
        }
        for name in
            ["embeddings.LayerNorm.weight", "encoder.block.1.layer.5.o.weight", "albert_layer_groups.9.x", "layer"]
        {
            assert!(!is_behind(name, 2), "{name}");
        }
    }
}
