//! YAML as `serde_json` values, which are easier to ask.

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::Value;

use crate::source;

/// The one document of a file, by its path from the top.
pub(crate) fn read(path: &str) -> Value {
    let text = source::read(path);
    let documents = Yaml::load_from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    let [document] = documents.as_slice() else { panic!("{path}: {} documents", documents.len()) };
    value(document)
}

fn value(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(flag)) => (*flag).into(),
        Yaml::Value(Scalar::Integer(number)) => (*number).into(),
        Yaml::Value(Scalar::String(text)) => text.as_ref().into(),
        Yaml::Sequence(items) => items.iter().map(value).collect(),
        Yaml::Mapping(pairs) => pairs.iter().map(|(key, item)| (key.as_str().unwrap(), value(item))).collect(),
        other => panic!("no manifest needs {other:?}"),
    }
}
