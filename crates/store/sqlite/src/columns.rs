//! Reading columns into the model's types. What does not fit was not written by us: `Damaged`.

use crate::{fault::told, words::Word};
use model::Timestamp;
use serde::de::DeserializeOwned;
use sqlx::{Decode, Row as _, Type, sqlite::SqliteRow};
use std::{error::Error, str::FromStr};
use store::{StoreError, error::Source};

type Result<T> = std::result::Result<T, StoreError>;

fn damaged(column: &str, source: impl Into<Source>) -> StoreError {
    StoreError::Damaged { what: format!("column `{column}`"), source: Some(source.into()) }
}

/// As SQLite gives it: integers, text, bytes, and `Option` of them.
pub(crate) fn plain<'r, T>(row: &'r SqliteRow, column: &str) -> Result<T>
where
    T: Decode<'r, sqlx::Sqlite> + Type<sqlx::Sqlite>,
{
    row.try_get(column).map_err(|error| match error {
        sqlx::Error::ColumnDecode { source, .. } => damaged(column, source),
        other => told(other),
    })
}

/// Text that reads as a `T`: ids, names, digests.
pub(crate) fn text<T>(row: &SqliteRow, column: &str) -> Result<T>
where
    T: FromStr<Err: Error + Send + Sync + 'static>,
{
    plain::<&str>(row, column)?.parse().map_err(|error: T::Err| damaged(column, error))
}

pub(crate) fn time(row: &SqliteRow, column: &str) -> Result<Timestamp> {
    plain(row, column).map(Timestamp)
}

pub(crate) fn time_if_any(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>> {
    Ok(plain::<Option<i64>>(row, column)?.map(Timestamp))
}

pub(crate) fn json<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T> {
    serde_json::from_str(plain(row, column)?).map_err(|error| damaged(column, error))
}

pub(crate) fn json_if_any<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<Option<T>> {
    let text: Option<&str> = plain(row, column)?;
    text.map(serde_json::from_str).transpose().map_err(|error| damaged(column, error))
}

pub(crate) fn word<T: Word>(row: &SqliteRow, column: &str) -> Result<T> {
    let word: &str = plain(row, column)?;
    T::read(word).ok_or_else(|| damaged(column, format!("unknown word `{word}`")))
}

pub(crate) fn word_if_any<T: Word>(row: &SqliteRow, column: &str) -> Result<Option<T>> {
    plain::<Option<&str>>(row, column)?.map(|_| word(row, column)).transpose()
}

/// For a column that takes a whole number; more than 2⁶³ of anything cannot be real.
pub(crate) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// For a column that takes JSON.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Unavailable(error.into()))
}
