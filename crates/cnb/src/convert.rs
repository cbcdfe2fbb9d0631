//! Between TOML values and JSON values: the metadata of a layer is TOML in its file and JSON in the image's label.

use serde_json::Value as Json;
use toml::Value as Toml;

/// TOML as JSON. Dates become their text; numbers that JSON has not (infinite, NaN) become null.
pub fn json(value: Toml) -> Json {
    match value {
        Toml::String(text) => Json::String(text),
        Toml::Integer(number) => number.into(),
        Toml::Float(number) => number.into(),
        Toml::Boolean(flag) => flag.into(),
        Toml::Datetime(date) => Json::String(date.to_string()),
        Toml::Array(items) => items.into_iter().map(json).collect(),
        Toml::Table(table) => json_table(table),
    }
}

/// A whole table as a JSON object.
pub fn json_table(table: toml::Table) -> Json {
    table.into_iter().map(|(key, value)| (key, json(value))).collect::<serde_json::Map<_, _>>().into()
}

/// JSON as TOML; `None` for null, which TOML has not. Nulls inside are left out, numbers too big become floats.
pub fn toml(value: &Json) -> Option<Toml> {
    Some(match value {
        Json::Null => return None,
        Json::Bool(flag) => Toml::Boolean(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Toml::Integer(whole),
            None => Toml::Float(number.as_f64()?),
        },
        Json::String(text) => Toml::String(text.clone()),
        Json::Array(items) => Toml::Array(items.iter().filter_map(toml).collect()),
        Json::Object(entries) => {
            Toml::Table(entries.iter().filter_map(|(key, value)| Some((key.clone(), toml(value)?))).collect())
        }
    })
}

/// A JSON object as a table; anything else as the empty one.
pub fn toml_table(value: &Json) -> toml::Table {
    match toml(value) {
        Some(Toml::Table(table)) => table,
        _ => toml::Table::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_survives_the_way_through_a_label() {
        let table: toml::Table =
            toml::from_str("a = 1\nb = [1.5, 2.5]\nd = 2026-01-02T03:04:05Z\n[c]\nx = \"é\"\ny = true")
                .unwrap();
        let label = json_table(table.clone());
        assert_eq!(label["d"], "2026-01-02T03:04:05Z");
        let mut back = toml_table(&label);
        back.insert("d".to_owned(), table["d"].clone());
        assert_eq!(back, table);
        assert_eq!(toml_table(&serde_json::json!({"x": null, "y": [null, 1]})).to_string(), "y = [1]\n");
    }
}
