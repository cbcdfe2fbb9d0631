//! What headers before an entry say of it: PAX records (POSIX pax, "pax Extended Header") and GNU's long names.

use super::Modified;

/// What extension headers said about the entry after them.
#[derive(Default)]
pub(super) struct Extension {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size_bytes: Option<u64>,
    pub(super) user_id: Option<u64>,
    pub(super) group_id: Option<u64>,
    pub(super) modified: Option<Modified>,
    pub(super) attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Extension {
    pub(super) fn is_empty(&self) -> bool {
        self.path.is_none()
            && self.link.is_none()
            && self.size_bytes.is_none()
            && self.user_id.is_none()
            && self.group_id.is_none()
            && self.attributes.is_empty()
    }

    /// PAX records: `<length> <key>=<value>\n`, where values may hold any byte.
    pub(super) fn read_pax(&mut self, mut records: &[u8]) -> Result<(), String> {
        while !records.is_empty() {
            let malformed = || "a PAX record is malformed".to_owned();
            let space = records.iter().take(8).position(|byte| *byte == b' ').ok_or_else(malformed)?;
            let length = number(&records[..space]).and_then(|length| usize::try_from(length).ok());
            let length =
                length.filter(|length| (space + 3..=records.len()).contains(length)).ok_or_else(malformed)?;
            let record = records[space + 1..length].strip_suffix(b"\n").ok_or_else(malformed)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
            self.set(&record[..equals], &record[equals + 1..])?;
            records = &records[length..];
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let integer = || number(value).ok_or_else(|| format!("PAX {} is not a number", key.escape_ascii()));
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size_bytes = Some(integer()?),
            b"uid" => self.user_id = Some(integer()?),
            b"gid" => self.group_id = Some(integer()?),
            b"mtime" => self.modified = Some(time(value).ok_or("PAX mtime is not a time")?),
            _ => {
                if key.starts_with(b"GNU.sparse.") {
                    return Err("a sparse file, which is not accepted".to_owned());
                }
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.attributes.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Decimal seconds with an optional fraction; what is finer than nanoseconds is dropped.
fn time(text: &[u8]) -> Option<Modified> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: i64 = format!("{fraction:0<9}")[..9].parse().ok()?;
    // Before 1970 the fraction counts backwards.
    Some(if whole.starts_with('-') && nanoseconds > 0 {
        Modified { seconds: seconds.checked_sub(1)?, nanoseconds: 1_000_000_000 - nanoseconds }
    } else {
        Modified { seconds, nanoseconds }
    })
}
